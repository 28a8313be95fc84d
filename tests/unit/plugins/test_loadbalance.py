# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest
from support.directives import FakeSetup, check, finished, make, parse, query

from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import NXDOMAIN
from clusterdns.errors import LifecycleError
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.plugins.loadbalance import parse_weights
from clusterdns.serving.reply import Reply

WWW = "www.example.org."
ADDRESSES = tuple(parse_record(f"{WWW} 5 A 192.0.2.{number}") for number in range(1, 5))
CNAME = parse_record("x. 5 CNAME www.example.org.")
MAIL = tuple(parse_record(f"{WWW} 5 MX {number} m.") for number in range(4))
SRV = tuple(parse_record(f"{WWW} 5 SRV 0 0 {number} m.") for number in range(4))
TXT = parse_record(f"{WWW} 5 TXT a")
TIMES = 400


def compiled(addresses=ADDRESSES):
    body = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + record.data for record in addresses)
    return CompiledAnswer(0, counts(len(addresses)), body, rotating=len(addresses), record_bytes=16)


def ask(plugin, rtype="A"):
    question = query(WWW, rtype)
    reply = plugin.handle(question)
    return reply, reply.records(question)


def answering(text, reply, **arguments):
    return make(text, answer=lambda query: reply(), **arguments)


def first_addresses(plugin, rtype="A"):
    return Counter(ask(plugin, rtype)[1].answer[0].data[-1] for _ in range(TIMES))


def test_each_address_comes_first_about_equally_often():
    plugin = answering("loadbalance", lambda: Reply.authoritative("x", answer=ADDRESSES))
    assert min(first_addresses(plugin)[number] for number in range(1, 5)) > TIMES / 8


@pytest.mark.parametrize("section", ["answer", "authority", "additional"])
def test_sections_are_ordered_names_others_addresses_mail(section):
    records = (*MAIL, *ADDRESSES, TXT, *SRV, CNAME)
    plugin = answering("loadbalance", lambda: Reply.authoritative("x", **{section: records}))
    seen = set()
    for _ in range(50):
        got = getattr(ask(plugin)[1], section)
        assert got[:6] == (CNAME, TXT, *SRV)
        assert sorted(got[6:10], key=lambda record: record.data) == list(ADDRESSES)
        assert sorted(got[10:], key=lambda record: record.data) == list(MAIL)
        seen.add(got)
    assert len(seen) > 5


@pytest.mark.parametrize(
    ("rcode", "rtype"), [(NXDOMAIN, "A"), (0, "AXFR"), (0, "IXFR")], ids=["nxdomain", "axfr", "ixfr"]
)
def test_negative_replies_and_transfers_stay(rcode, rtype):
    records = (*ADDRESSES, CNAME)
    plugin = answering("loadbalance", lambda: Reply.authoritative("x", rcode, answer=records))
    assert ask(plugin, rtype)[1].answer == records


def reusable(records):
    reply = Reply.authoritative("x", answer=records)
    reply.reusable = True
    return reply


def test_a_reply_with_one_possible_order_may_still_be_reused():
    assert ask(answering("loadbalance", lambda: reusable((ADDRESSES[0], CNAME))))[0].reusable
    assert ask(answering("loadbalance", lambda: reusable(SRV)))[0].reusable
    assert not ask(answering("loadbalance", lambda: reusable(ADDRESSES)))[0].reusable


def test_compiled_answers_get_their_orders_as_variants():
    answer = compiled()
    reply, _ = ask(answering("loadbalance", lambda: Reply.of_compiled("x", answer)))
    assert reply.reusable
    assert reply.compiled is answer
    assert sorted(body[15] for body in reply.variants) == [1, 2, 3, 4]
    single = compiled(ADDRESSES[:1])
    assert ask(answering("loadbalance", lambda: Reply.of_compiled("x", single)))[0].variants == ()


def test_preferred_addresses_come_first_in_records():
    text = "loadbalance {\nprefer 192.0.2.4/32 2001:db8::/32\nprefer 192.0.2.3/32\n}"
    plugin = answering(text, lambda: Reply.authoritative("x", answer=ADDRESSES))
    assert first_addresses(plugin).keys() == {3, 4}
    orders = {tuple(record.data[-1] for record in ask(plugin)[1].answer) for _ in range(50)}
    assert all(set(order[:2]) == {3, 4} for order in orders)
    assert len(orders) > 2


def test_preferred_addresses_come_first_in_compiled_answers():
    answer = compiled()
    reply, _ = ask(answering("loadbalance {\nprefer 192.0.2.3/32\n}", lambda: Reply.of_compiled("x", answer)))
    assert [body[15] for body in reply.variants] == [3] * 4
    assert all(sorted(body[15::16]) == [1, 2, 3, 4] for body in reply.variants)


def test_prefer_knows_ipv6_and_masks_host_bits():
    records = tuple(parse_record(f"{WWW} 5 AAAA 2001:db8:{number}::1") for number in range(4))
    plugin = answering(
        "loadbalance round_robin {\nprefer 2001:db8:2::ffff/48\n}", lambda: Reply.authoritative("x", answer=records)
    )
    assert {ask(plugin, "AAAA")[1].answer[0] for _ in range(20)} == {records[2]}


def weighted(tmp_path, text, reply, options="{\nreload 0s\n}"):
    (tmp_path / "weights").write_text(text)
    plugin = answering(f"loadbalance weighted {tmp_path}/weights {options}", reply)
    finished(plugin.start())
    return plugin


def test_weights_decide_how_often_an_address_comes_first(tmp_path):
    text = "# comment\nWWW.example.org\n192.0.2.1 255\n192.0.2.2 200\n\nother.test.\n192.0.2.3 255"
    plugin = weighted(tmp_path, text, lambda: reusable(ADDRESSES))
    seen = first_addresses(plugin)
    assert seen[1] + seen[2] > TIMES * 0.9
    assert min(seen[1], seen[2]) > TIMES / 8
    reply, sections = ask(plugin)
    assert not reply.reusable
    assert sorted(record.data[-1] for record in sections.answer) == [1, 2, 3, 4]
    assert set(sections.answer) == set(ADDRESSES)


def test_weights_apply_to_compiled_answers_and_to_additional_records(tmp_path):
    answer = compiled()
    plugin = weighted(tmp_path, "www.example.org\n192.0.2.4 255", lambda: Reply.of_compiled("x", answer))
    assert first_addresses(plugin).most_common(1)[0][0] == 4
    extra = Reply.authoritative("x", answer=SRV, additional=ADDRESSES)
    plugin = weighted(tmp_path, "www.example.org\n192.0.2.4 255", lambda: extra)
    assert Counter(ask(plugin, "SRV")[1].additional[0].data[-1] for _ in range(TIMES)).most_common(1)[0][0] == 4
    assert ask(plugin, "TXT")[0] is extra


def test_a_weight_file_is_read_again_when_it_changes(tmp_path, caplog):
    plugin = weighted(tmp_path, "www.example.org\n192.0.2.1 255", lambda: reusable(ADDRESSES), "")
    (tmp_path / "weights").write_text("www.example.org\n192.0.2.2 255")
    plugin.read_weights()
    assert first_addresses(plugin).most_common(1)[0][0] == 2
    (tmp_path / "weights").write_text("nonsense here now")
    with pytest.raises(ValueError, match="could not parse weight line"):
        plugin.read_weights()
    assert first_addresses(plugin).most_common(1)[0][0] == 2
    finished(plugin.stop(True))
    assert plugin.services.spawned[0][1].released


def test_a_missing_weight_file_is_waited_for(caplog):
    plugin = make("loadbalance weighted /nosuch/file")
    finished(plugin.start())
    assert [record.getMessage() for record in caplog.records] == [
        "Failed to open weight file:weight file open error. Will try again in 30s"
    ]
    assert len(plugin.services.spawned) == 1
    finished(plugin.stop(True))


def test_a_missing_weight_file_that_is_read_once_is_an_error():
    plugin = make("loadbalance weighted /nosuch/file {\nreload 0s\n}", setup=FakeSetup())
    with pytest.raises(LifecycleError, match="weight file open error"):
        finished(plugin.start())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1.2.3.4 1", "missing domain name in weight file F"),
        ("a\n1.2.3 1", 'wrong IP address:"1.2.3" in weight file F'),
        ("a\n1.2.3.4 0", 'wrong weight value:"0" in weight file F'),
        ("a\n1.2.3.4 256", 'wrong weight value:"256" in weight file F'),
        ("a b c", 'could not parse weight line:"a b c" in weight file F'),
        ("1.2.3.4", 'wrong domain name:"1.2.3.4" in weight file F. (Maybe a missing weight value?)'),
        ("a..b", "empty label in name: a..b in weight file F"),
    ],
)
def test_faults_in_weight_files(text, says):
    with pytest.raises(ValueError) as caught:
        parse_weights(text, "F")
    assert str(caught.value) == says


def test_weighted_options():
    weights = parse("loadbalance weighted /f {\nreload 1m\n}").weights
    assert (weights.path, weights.reload_seconds) == ("/f", 60)
    assert parse("loadbalance").weights is None


PARSING = "Corefile:{} - Error during parsing: "


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("loadbalance nope", "unknown policy: nope"),
        ("loadbalance weighted", PARSING.format(2) + "missing weight file argument"),
        ("loadbalance weighted a b", PARSING.format(2) + "unexpected argument(s)"),
        ("loadbalance round_robin x", PARSING.format(2) + "unknown property for round_robin"),
        ("loadbalance {\nnope\n}", PARSING.format(3) + "unknown property 'nope'"),
        ("loadbalance {\nreload 5s\n}", PARSING.format(3) + "unknown property 'reload'"),
        ("loadbalance weighted f {\nprefer 1.2.3.0/24\n}", PARSING.format(3) + "unknown property 'prefer'"),
        ("loadbalance weighted f {\nreload x\n}", PARSING.format(3) + "invalid reload duration 'x'"),
        ("loadbalance weighted f {\nreload\n}", PARSING.format(3) + "reload duration value is missing"),
        (
            "loadbalance {\nprefer 1.2.3.4\n}",
            PARSING.format(3) + 'invalid CIDR "1.2.3.4": invalid CIDR address: 1.2.3.4',
        ),
        (
            "loadbalance {\nprefer ::1/129\n}",
            PARSING.format(3) + 'invalid CIDR "::1/129": invalid CIDR address: ::1/129',
        ),
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text).errors] == [f"plugin/loadbalance: {says}"]
