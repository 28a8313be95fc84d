# SPDX-License-Identifier: Apache-2.0
from clusterdns.zone.index import AddressIndex, ReverseTree


def test_holders_are_sorted_and_go_away_with_the_address():
    index = AddressIndex()
    assert index.update(("ns", "b"), set(), {"1", "2"}) == {"1", "2"}
    index.update(("ns", "a"), set(), {"2"})
    assert index.holders("2") == (("ns", "a"), ("ns", "b"))
    assert index.update(("ns", "b"), {"1", "2"}, {"2", "3"}) == {"1", "3"}
    assert (index.holders("1"), index.holders("2")) == ((), (("ns", "a"), ("ns", "b")))
    index.update(("ns", "b"), {"2", "3"}, set())
    index.update(("ns", "a"), {"2"}, set())
    assert (index.holders("2"), index.holders("3")) == ((), ())


def test_addresses_of_a_namespace():
    index = AddressIndex()
    index.update(("a", "x"), set(), {"1", "2"})
    index.update(("b", "x"), set(), {"2", "3"})
    assert sorted(index.held_in({"b"})) == ["2", "3"]
    assert index.held_in({"c"}) == []


def tree_of(addresses):
    return ReverseTree(lambda: addresses, lambda address: address in addresses)


def test_prefixes_of_addresses():
    tree = tree_of({"10.0.0.1", "100.1.1.1", ":fd00"})
    found = {prefix: tree.has_below(prefix) for prefix in ("10.", "10.0.", "1.", "100.", "2.", "", ":", ":fd", ":fe")}
    assert [prefix for prefix, there in found.items() if there] == ["10.", "10.0.", "100.", "", ":", ":fd"]


def test_the_families_are_apart():
    assert not tree_of({":fd00"}).has_below("")
    assert not tree_of({"10.0.0.1"}).has_below(":")
    assert not tree_of(set()).has_below("")


def test_changes_show_before_and_after_the_first_question():
    addresses = {"10.0.0.1"}
    tree = tree_of(addresses)
    for change in ({"10.1.0.1"}, {"9.0.0.1", "11.0.0.1"}, {f"12.0.{n}.1" for n in range(250)}):
        addresses |= change
        tree.update(change)
        assert all(tree.has_below(address.partition(".")[0] + ".") for address in change)
    gone = {address for address in addresses if address.startswith("12.")} | {"9.0.0.1"}
    addresses -= gone
    tree.update(gone)
    assert [tree.has_below(prefix) for prefix in ("9.", "12.", "10.")] == [False, False, True]


def test_many_changes_at_once():
    addresses = {"10.0.0.1"}
    tree = tree_of(addresses)
    assert not tree.has_below("12.")
    change = {f"12.{n}.0.1" for n in range(300)}
    addresses |= change
    tree.update(change)
    assert tree.has_below("12.299.")
    addresses -= change
    tree.forget()
    assert not tree.has_below("12.")


def test_an_address_that_loses_one_of_two_records_stays():
    addresses = {"10.0.0.1"}
    tree = tree_of(addresses)
    assert tree.has_below("10.")
    tree.update({"10.0.0.1"})
    assert tree.has_below("10.")
