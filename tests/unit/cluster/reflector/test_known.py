# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from clusterdns.cluster.reflector import known as module
from clusterdns.cluster.reflector.known import Known


def filled(count: int = 5) -> Known:
    known = Known()
    for number in range(count):
        known.put(f"ns-{number % 2}", f"n{number}", 100 + number)
    return known


def test_it_knows_the_revision_of_each_object():
    known = filled()
    assert known.count == 5
    assert known.revision("ns-1", "n3") == 103
    assert known.revision("ns-0", "n3") == known.revision("other", "n3") == -1
    known.put("ns-1", "n3", 1 << 40)
    assert (known.count, known.revision("ns-1", "n3")) == (5, 1 << 40)
    known.remove("ns-1", "n3")
    known.remove("ns-1", "n3")
    known.remove("other", "n3")
    assert known.count == 4
    known.remove("ns-1", "n1")
    assert set(known.names) == {"ns-0"}


def test_a_sweep_removes_what_was_not_listed(monkeypatch):
    monkeypatch.setattr(module, "_WALK", 2)
    known = filled()
    known.begin_list()
    assert known.put("ns-0", "n0", 90)
    assert not known.put("ns-0", "n0", 91)
    assert known.put("ns-0", "new", 91)
    gone = [key for keys in known.sweep() for key in keys]
    assert sorted(gone) == [("ns-0", "n2"), ("ns-0", "n4"), ("ns-1", "n1"), ("ns-1", "n3")]
    assert {namespace: set(names) for namespace, names in known.names.items()} == {"ns-0": {"n0", "new"}}
    assert known.count == 2


def test_after_lists_that_broke_off_only_the_last_one_counts():
    known = filled(2)
    for _ in range(300):
        known.begin_list()
        known.put("ns-0", "n0", 100)
    known.begin_list()
    known.put("ns-1", "n1", 101)
    assert [key for keys in known.sweep() for key in keys] == [("ns-0", "n0")]


def test_a_comparison_finds_what_was_not_marked_and_leaves_revisions_and_lists_alone():
    known = filled()
    known.begin_list()
    known.put("ns-0", "n0", 100)
    known.begin_comparison()
    known.mark("ns-0", "n2")
    known.mark("ns-0", "unknown")
    known.mark("other", "n2")
    known.put("ns-1", "n1", 200)
    unmarked = [key for keys in known.unmarked() for key in keys]
    assert sorted(unmarked) == [("ns-0", "n0"), ("ns-0", "n4"), ("ns-1", "n3")]
    assert known.revision("ns-0", "n2") == 102
    assert known.count == 5
    gone = [key for keys in known.sweep() for key in keys]
    assert sorted(gone) == [("ns-0", "n2"), ("ns-0", "n4"), ("ns-1", "n3")]


def test_objects_may_go_while_a_walk_is_under_way(monkeypatch):
    monkeypatch.setattr(module, "_WALK", 1)
    known = filled()
    known.begin_comparison()
    walk = known.unmarked()
    first = next(walk)
    for number in range(5):
        known.remove(f"ns-{number % 2}", f"n{number}")
    assert first == [("ns-0", "n0")]
    assert list(walk) == [[]] * (len(list(filled().walk())) - 3)
