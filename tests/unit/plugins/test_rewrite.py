# SPDX-License-Identifier: Apache-2.0
"""What ``rewrite`` makes of queries, and of their replies."""

import asyncio

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from support.directives import FakeSetup, client, make, query
from support.serving import make_engine, wire

from clusterdns.dns import names
from clusterdns.dns.edns import option_list
from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.types import FLAG_TC, NOERROR, NXDOMAIN, SERVFAIL, A, class_text, type_text
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.serving.finish import finish
from clusterdns.serving.metadata import QueryMetadata
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections

ONE_A = CompiledAnswer(0, counts(1), b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\12\0\0\1")


def records(*texts):
    return tuple(parse_record(text) for text in texts)


def lines(found):
    return [record_text(record).replace("\t", " ") for record in found]


def received(packet, who):
    asked = Query(packet, who)
    asked.resolve = lambda query, name, qtype: Reply()
    return asked


class Behind:
    """The rest of the chain: notes the queries, answers with records (``@`` is the name asked for)."""

    def __init__(self, *answer, authority=(), rcode=NOERROR, reusable=True):
        self.answer, self.authority, self.rcode, self.reusable = answer, authority, rcode, reusable
        self.asked = []

    def __call__(self, query):
        self.asked.append(query)
        name = names.to_text(query.name)
        sections = [records(*(text.replace("@", name) for text in part)) for part in (self.answer, self.authority)]
        reply = Reply.authoritative("behind", self.rcode, *sections)
        reply.reusable = self.reusable
        return reply

    @property
    def question(self):
        (asked,) = self.asked
        return f"{names.to_text(asked.name)} {class_text(asked.qclass)} {type_text(asked.qtype)}"


def ask(rules, name="www.example.org.", rtype="A", behind=None, **options):
    """The reply to a query, and the rest of the chain."""
    behind = behind or Behind("@ 60 IN A 10.0.0.1")
    plugin = make(rules, answer=behind)
    asked = query(name, rtype, **options)
    reply = plugin.handle(asked)
    return asked, reply if isinstance(reply, Reply) else asyncio.run(reply), behind


def asked_for(rules, name="www.example.org.", rtype="A"):
    return ask(rules, name, rtype)[2].question


# The query


@pytest.mark.parametrize(
    ("rule", "name", "becomes"),
    [
        ("name www.example.org web.test", "www.example.org.", "web.test."),
        ("name WWW.example.org. Web.TEST.", "wWw.Example.org.", "web.test."),
        ("name exact www.example.org web.test", "a.www.example.org.", "a.www.example.org."),
        ("name prefix www ftp", "www.example.org.", "ftp.example.org."),
        ("name prefix www. ftp.x.", "www.example.org.", "ftp.x.example.org."),
        ("name prefix ww ftp", "www.example.org.", "www.example.org."),
        ("name suffix .example.org .test", "a.b.example.org.", "a.b.test."),
        ("name suffix .example.org .test", "example.org.", "example.org."),
        ("name suffix example.org test", "my-example.org.", "my-test."),
        ("name substring example.org test", "a.example.org.example.org.", "a.test.test."),
        ("name regex (.*)-(us|eu)\\.example\\.org {1}.{2}.test", "db-eu.example.org.", "db.eu.test."),
        ("name regex (e)(x)(ample) x{0}y{7}{01}", "a.example.org.", "xexampley{7}{01}."),
        ("name regex ^(.)\\.(.)\\.$ {2}.{1}", "a.b.", "b.a."),
        ("name regex ^([^.]*)\\.(.*)\\.$ {1}.x.{2}", "{2}.b.", "{2}.x.b."),
        ("name exact . root.test", ".", "root.test."),
        ("name regex ^(.*)\\.example\\.org\\.$ {1}.test", "a\\.b.example.org.", "a\\.b.test."),
    ],
)
def test_names_of_queries(rule, name, becomes):
    assert asked_for(f"rewrite {rule}", name) == f"{becomes} IN A"


@pytest.mark.parametrize(
    ("rule", "question"),
    [
        ("type MX A", "www.example.org. IN A"),
        ("type TXT A", "www.example.org. IN MX"),
        ("type mx aaaa", "www.example.org. IN AAAA"),
        ("class IN CH", "www.example.org. CH MX"),
        ("class CH IN", "www.example.org. IN MX"),
    ],
)
def test_types_and_classes_of_queries(rule, question):
    assert asked_for(f"rewrite {rule}", rtype="MX") == question


def test_a_rewritten_name_keeps_the_class_and_flags_of_its_query():
    asked, _, behind = ask(
        "rewrite continue class IN CH\nrewrite name www.example.org a.test", flags=dns.flags.from_text("RD CD AD")
    )
    assert behind.question == "a.test. CH A"
    assert behind.asked[0].flags == asked.flags


@pytest.mark.parametrize(
    ("rules", "question"),
    [
        ("rewrite name suffix .org .a\nrewrite name suffix .a .b", "www.example.a. IN A"),
        ("rewrite continue name suffix .org .a\nrewrite name suffix .a .b", "www.example.b. IN A"),
        ("rewrite name suffix .net .a\nrewrite name suffix .org .b", "www.example.b. IN A"),
        ("rewrite stop name suffix .org .a\nrewrite type A AAAA", "www.example.a. IN A"),
        ("rewrite CONTINUE {\n type A AAAA\n}\nrewrite {\n name www.example.org\n x.test\n}", "x.test. IN AAAA"),
        ("rewrite ttl www.example.org 5\nrewrite name suffix .org .a", "www.example.org. IN A"),
    ],
)
def test_the_first_rule_that_fits_ends_the_list_unless_it_continues(rules, question):
    assert asked_for(rules) == question


@pytest.mark.parametrize("replacement", ["a..b", "x" * 64, ".".join(["x" * 60] * 5)])
def test_an_impossible_name_is_a_servfail_with_a_reason(replacement):
    _, reply, behind = ask(f"rewrite name regex .* {replacement}")
    assert (reply.rcode, behind.asked) == (SERVFAIL, [])
    assert reply.error.startswith("invalid name after rewrite: ")


def test_a_query_that_no_rule_is_for_goes_on_as_it_is():
    asked, reply, behind = ask("rewrite name other.test a.test\nrewrite edns0 local replace 0xffee x")
    assert behind.asked == [asked]
    assert reply.reusable


# The names in the reply


@pytest.mark.parametrize(
    ("rule", "owner"),
    [
        ("name www.example.org a.test", "www.example.org."),
        ("continue name www.example.org a.test", "www.example.org."),
        ("name prefix www a", "a.example.org."),
        ("name prefix www a answer auto", "www.example.org."),
        ("name suffix .example.org .test", "www.test."),
        ("name suffix .example.org .test answer auto", "www.example.org."),
        ("name substring example test answer auto", "www.example.org."),
        ("name regex (.*)\\.example\\.org {1}.test answer auto", "www.example.org."),
        ("name regex (.*)\\.example\\.org {1}.test answer name (.*)\\.test {1}.net", "www.net."),
        ("continue {\n name regex (.*)\\.example\\.org {1}.test\n answer name (.*)\\.test {1}.org\n}", "www.org."),
    ],
)
def test_owner_names_in_the_reply(rule, owner):
    asked, reply, _ = ask(f"rewrite {rule}", "WWW.example.org.")
    assert lines(reply.records(asked).answer) == [f"{owner} 60 IN A 10.0.0.1"]


def test_the_client_sees_its_own_question_whatever_was_asked_instead():
    packet = wire("WwW.example.org.", "MX")
    plugin = make(
        "rewrite continue type MX A\nrewrite continue class IN CH\nrewrite name suffix .org .net",
        answer=lambda query: Reply.of_compiled("behind", ONE_A),
    )
    asked = received(packet, client())
    (message,) = finish(asked, plugin.handle(asked))
    found = dns.message.from_wire(message)
    assert found.question[0].to_text() == "WwW.example.org. IN MX"
    assert found.answer[0].to_text() == "www.example.net. 5 IN A 10.0.0.1"


def test_compiled_answers_stay_where_the_name_does():
    plugin = make("rewrite type MX A", answer=lambda query: Reply.of_compiled("behind", ONE_A))
    assert plugin.handle(query(rtype="MX")).compiled is ONE_A


@pytest.mark.parametrize(
    ("record", "restored"),
    [
        ("@ 5 IN CNAME a.test.", "www.example.org. 5 IN CNAME www.example.org."),
        ("@ 5 IN CNAME x.A.Test.", "www.example.org. 5 IN CNAME x.www.example.org."),
        ("@ 5 IN CNAME xa.test.", "www.example.org. 5 IN CNAME xa.test."),
        ("@ 5 IN SRV 1 2 3 b.a.test.", "www.example.org. 5 IN SRV 1 2 3 b.www.example.org."),
        ("@ 5 IN MX 7 a.test.", "www.example.org. 5 IN MX 7 www.example.org."),
        ("@ 5 IN NS a.test.", "www.example.org. 5 IN NS www.example.org."),
        ("@ 5 IN PTR a.test.", "www.example.org. 5 IN PTR www.example.org."),
        ("@ 5 IN DNAME a.test.", "www.example.org. 5 IN DNAME www.example.org."),
        ('@ 5 IN NAPTR 1 2 "u" "s" "r" a.test.', 'www.example.org. 5 IN NAPTR 1 2 "u" "s" "r" www.example.org.'),
        ("@ 5 IN SOA a.test. m.a.test. 1 2 3 4 5", "www.example.org. 5 IN SOA www.example.org. m.a.test. 1 2 3 4 5"),
        ('@ 5 IN TXT "a.test."', 'www.example.org. 5 IN TXT "a.test."'),
        ("other.test. 5 IN A 10.0.0.1", "other.test. 5 IN A 10.0.0.1"),
    ],
)
def test_targets_are_restored_in_all_sections(record, restored):
    asked, reply, _ = ask("rewrite name www.example.org a.test", behind=Behind(record, authority=(record,)))
    sections = reply.records(asked)
    assert (lines(sections.answer), lines(sections.authority)) == ([restored], [restored])


def test_values_by_a_regular_expression():
    rule = "rewrite name suffix .arpa .arpa answer auto answer value (.*)\\.service\\.consul\\. {1}.example.org."
    behind = Behind("@ 60 IN PTR Ftp.Service.consul.", "@ 60 IN PTR other.test.")
    asked, reply, _ = ask(rule, "1.0.0.10.in-addr.arpa.", "PTR", behind)
    assert [line.split()[-1] for line in lines(reply.records(asked).answer)] == ["ftp.example.org.", "other.test."]


def test_changes_are_undone_in_the_opposite_order():
    rules = "rewrite continue name suffix .org .net answer auto\nrewrite name suffix .net .com answer auto"
    asked, reply, behind = ask(rules)
    assert behind.question == "www.example.com. IN A"
    assert lines(reply.records(asked).answer) == ["www.example.org. 60 IN A 10.0.0.1"]


def test_an_impossible_name_in_the_reply_is_a_servfail_with_a_reason():
    _, reply, _ = ask("rewrite name regex ^www\\. a.test answer name a\\.test a..b")
    assert reply.rcode == SERVFAIL
    assert "empty label" in reply.error


def test_records_that_are_streamed_are_restored_too():
    def answer(query):
        reply = Reply(plugin="behind")
        reply.stream = iter(records("a.test. 5 IN A 10.0.0.1"))
        return reply

    _, reply, _ = ask("rewrite name www.example.org a.test", behind=answer)
    assert lines(reply.stream) == ["www.example.org. 5 IN A 10.0.0.1"]


def test_no_reply_stays_none():
    assert ask("rewrite name www.example.org a.test", behind=lambda query: Reply.no_reply("behind"))[1].dropped


# TTLs and rcodes


@pytest.mark.parametrize(
    ("rule", "ttl"),
    [
        ("www.example.org 15", 15),
        ("exact other.test 15", 60),
        ("prefix www 100-", 100),
        ("prefix www 10-", 60),
        ("suffix .example.org -30", 30),
        ("substring example. 70-80", 70),
        ("regex ^www 0-59", 59),
        ("regex ^ftp 0-59", 60),
        ("www.example.org 0", 0),
    ],
)
def test_ttls(rule, ttl):
    behind = Behind("@ 60 IN A 10.0.0.1", authority=("@ 60 IN NS a.",))
    asked, reply, _ = ask(f"rewrite ttl {rule}", "WWW.example.org.", behind=behind)
    sections = reply.records(asked)
    assert [record.ttl for record in (*sections.answer, *sections.authority)] == [ttl, ttl]


@pytest.mark.parametrize(
    ("rules", "rcode"),
    [
        ("rewrite rcode www.example.org NXDOMAIN NOERROR", NOERROR),
        ("rewrite rcode exact www.example.org. 3 2", SERVFAIL),
        ("rewrite rcode regex example nxdomain Refused", 5),
        ("rewrite rcode suffix .example.org SERVFAIL NOERROR", NXDOMAIN),
        ("rewrite rcode other.test NXDOMAIN NOERROR", NXDOMAIN),
        ("rewrite continue rcode regex . SERVFAIL REFUSED\nrewrite rcode regex . NXDOMAIN SERVFAIL", 5),
    ],
)
def test_rcodes(rules, rcode):
    assert ask(rules, behind=Behind(rcode=NXDOMAIN))[1].rcode == rcode


# Targets of CNAME records


class Resolving(FakeSetup):
    """A block whose internal look-ups are answered by a function."""

    def __init__(self, resolver):
        super().__init__()
        self.resolver = resolver
        self.asked = []

    def resolve(self, query, name, qtype):
        self.asked.append((names.to_text(name), qtype))
        return self.resolver(names.to_text(name))


def found(*answer, rcode=NOERROR, **options):
    reply = Reply.authoritative("other", rcode, records(*answer), **options)
    reply.reusable = True
    return reply


CHAIN = Behind("@ 60 IN CNAME b.test.", "b.test. 60 IN CNAME c.test.", "c.test. 60 IN A 10.0.0.1")


def followed(rule, resolver, behind=CHAIN, **options):
    setup = Resolving(resolver)
    plugin = make(f"rewrite {rule}", setup=setup, answer=behind)
    asked = query(**options)
    reply = plugin.handle(asked)
    return setup.asked, asked, reply if isinstance(reply, Reply) else asyncio.run(reply)


@pytest.mark.parametrize(
    ("rule", "target"),
    [
        ("cname c.test d.net", "d.net."),
        ("cname exact C.test. d.net.", "d.net."),
        ("cname prefix c. d.", "d.test."),
        ("cname suffix .test. .net", "b.net."),
        ("cname suffix .test .net", "b.net."),
        ("cname substring tes nes", "b.nest."),
        ("cname regex (C)\\.(.*) {1}.x.{2}", "c.x.test."),
    ],
)
def test_another_target_is_looked_up_in_the_place_of_the_old_one(rule, target):
    asked_names, asked, reply = followed(rule, lambda name: found(f"{name} 9 IN A 10.9.9.9"))
    assert asked_names == [(target, A)]
    chain = ["www.example.org. 60 IN CNAME b.test.", f"b.test. 60 IN CNAME {target}"]
    if target.startswith("b."):
        chain = [f"www.example.org. 60 IN CNAME {target}"]
    assert lines(reply.records(asked).answer) == [*chain, f"{target} 9 IN A 10.9.9.9"]
    assert reply.reusable


def test_look_ups_of_targets_may_take_their_time():
    async def later(name):
        return found(f"{name} 9 IN A 10.9.9.9")

    _, asked, reply = followed("cname c.test d.test", later)
    assert lines(reply.records(asked).answer)[-1] == "d.test. 9 IN A 10.9.9.9"


@pytest.mark.parametrize("rule", ["cname x.test y.test", "cname c.test c.test", "cname regex nothing x"])
def test_other_targets_stay(rule):
    asked_names, asked, reply = followed(rule, lambda name: found())
    assert asked_names == []
    assert len(reply.records(asked).answer) == 3


def test_the_rcode_and_authority_are_those_of_the_new_target():
    denial = Reply.authoritative("other", NXDOMAIN, (), records("test. 5 IN SOA a. b. 1 2 3 4 5"))
    behind = Behind("@ 60 IN CNAME c.test.", authority=("old. 5 IN SOA a. b. 1 2 3 4 5",))
    _, asked, reply = followed("cname c.test d.test", lambda name: denial, behind)
    assert reply.rcode == NXDOMAIN
    assert lines(reply.records(asked).authority) == ["test. 5 IN SOA a. b. 1 2 3 4 5"]
    assert not reply.reusable
    behind = Behind("@ 60 IN CNAME c.test.", rcode=NXDOMAIN)
    assert followed("cname c.test d.test", lambda name: found(f"{name} 5 IN A 10.0.0.1"), behind)[2].rcode == NOERROR


@pytest.mark.parametrize("rtype", ["CNAME", "ANY"])
def test_nothing_is_looked_up_for_those_who_ask_for_the_alias_itself(rtype):
    behind = Behind("@ 60 IN CNAME c.test.", authority=("test. 5 IN NS a.",))
    asked_names, asked, reply = followed("cname c.test d.test", lambda name: Reply(NXDOMAIN), behind, rtype=rtype)
    assert asked_names == []
    assert (reply.rcode, lines(reply.records(asked).answer)) == (NOERROR, ["www.example.org. 60 IN CNAME d.test."])
    assert lines(reply.records(asked).authority) == ["test. 5 IN NS a."]


def test_a_target_that_nobody_serves_stands_alone():
    _, asked, reply = followed("cname c.test d.test", lambda name: Reply(5))
    assert (reply.rcode, len(reply.records(asked).answer)) == (NOERROR, 2)


def test_a_dropped_look_up_is_a_servfail():
    assert followed("cname c.test d.test", lambda name: Reply.no_reply("acl"))[2].rcode == SERVFAIL


def test_truncation_is_that_of_the_new_target():
    cut = found("d.test. 5 IN A 10.0.0.1")
    cut.flags |= FLAG_TC
    assert followed("cname c.test d.test", lambda name: cut)[2].flags & FLAG_TC


def test_names_are_restored_in_what_was_looked_up():
    rules = "continue name suffix .example.org .test answer auto\nrewrite cname b.test www.test"
    behind = Behind("@ 60 IN CNAME b.test.")
    _, asked, reply = followed(rules, lambda name: found(f"{name} 5 IN A 10.0.0.1"), behind)
    assert lines(reply.records(asked).answer) == [
        "www.example.org. 60 IN CNAME www.example.org.",
        "www.example.org. 5 IN A 10.0.0.1",
    ]


def test_targets_that_lead_to_one_another_end():
    rewrite = make("rewrite cname regex ^(.*)\\.test {1}.x.test")

    def answer(query):
        name = names.to_text(query.name)
        return Reply(NOERROR, Sections(records(f"{name} 5 IN CNAME a.{name.removesuffix('test.')}test.")), plugin="end")

    class End(type(rewrite)):
        name = "end"

        def __init__(self):
            pass

        def handle(self, query):
            return answer(query)

    engine = make_engine({".": [rewrite, End()]})
    rewrite.setup.resolve = engine.resolve
    reply = dns.message.from_wire(engine.handle(wire("b.test."), client()))
    assert dns.rcode.to_text(reply.rcode()) == "SERVFAIL"


# EDNS options


def options_of(asked):
    return None if asked.edns is None else list(asked.edns.option_list())


def sent(rules, options=(), **arguments):
    """The options that go down the chain, where the client sends these."""
    generic = [dns.edns.GenericOption(code, data) for code, data in options]
    behind = Behind()
    plugin = make(rules, answer=behind)
    packet = wire("WWW.example.org.", "AAAA", use_edns=0 if options else None, options=generic or None)
    asked = received(packet, client(**arguments))
    plugin.handle(asked)
    return options_of(behind.asked[0])


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("local set 0xffee abc", (), [(0xFFEE, b"abc")]),
        ("local set 65518 0x6162", ((0xFFEE, b"x"), (1000, b"y")), [(0xFFEE, b"ab"), (1000, b"y")]),
        ("local append 0xffee abc", ((0xFFEE, b"x"),), [(0xFFEE, b"x")]),
        ("local append 0xffee abc", ((1000, b"x"),), [(1000, b"x"), (0xFFEE, b"abc")]),
        ("local replace 0xffee abc", ((0xFFEE, b"x"),), [(0xFFEE, b"abc")]),
        ("local replace 0xffee abc", ((1000, b"x"),), [(1000, b"x")]),
        ("local replace 0xffee abc", (), None),
        ("local unset 0xffee", ((0xFFEE, b"x"), (1000, b"y"), (0xFFEE, b"z")), [(1000, b"y")]),
        ("local unset 0xffee", (), None),
        ("nsid set", (), [(3, b"")]),
        ("nsid unset", ((3, b""), (1000, b"y")), [(1000, b"y")]),
        ("nsid append", ((3, b""),), [(3, b"")]),
        ("subnet set 24 56", (), [(8, b"\0\1\x18\0\xc0\0\2")]),
        ("subnet set 20 56", (), [(8, b"\0\1\x14\0\xc0\0\0")]),
        ("subnet set 0 0", ((8, b"\0\1\x20\0\1\2\3\4"),), [(8, b"\0\1\0\0")]),
        ("subnet append 32 128", ((8, b"\0\1\0\0"),), [(8, b"\0\1\0\0")]),
        ("subnet unset", ((8, b"\0\1\0\0"), (1000, b"y")), [(1000, b"y")]),
    ],
)
def test_options_of_the_query(rule, before, after):
    assert sent(f"rewrite edns0 {rule}", before) == after


def test_the_subnet_of_an_ipv6_client():
    assert sent("rewrite edns0 subnet set 24 56", address="2001:db8:1:2ff::1") == [
        (8, b"\0\2\x38\0\x20\x01\x0d\xb8\0\1\2")
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("{qname}", b"WWW.example.org."),
        ("{qtype}", b"\0\x1c"),
        ("{client_ip}", b"\xc0\0\2\1"),
        ("{client_port}", (4242).to_bytes(2, "big")),
        ("{server_ip}", b"\xc0\0\2\x35"),
        ("{server_port}", b"\0\x35"),
        ("{protocol}", b"udp"),
    ],
)
def test_variables(variable, value):
    assert sent(f"rewrite edns0 local set 0xffee {variable}") == [(0xFFEE, value)]


def test_metadata_is_a_variable_and_nothing_is_set_without_a_value():
    behind = Behind()
    plugin = make("rewrite continue edns0 local set 0xffee {a/b}\nrewrite edns0 local set 0xffef {a/c}", answer=behind)
    asked = query()
    asked.metadata = QueryMetadata(asked, {})
    asked.metadata.set("a/b", "value")
    plugin.handle(asked)
    assert options_of(behind.asked[0]) == [(0xFFEE, b"value")]


@pytest.mark.parametrize(
    ("variable", "reusable"), [("{qname}", True), ("{client_ip}", False), ("{a/b}", False), ("x", True)]
)
def test_replies_are_remembered_where_only_the_query_decided(variable, reusable):
    assert ask(f"rewrite edns0 local set 0xffee {variable}")[1].reusable is reusable


@pytest.mark.parametrize(
    ("rules", "shown"),
    [
        ("rewrite edns0 local set 0xffee abcd", [(0xFFEE, b"abcd")]),
        ("rewrite edns0 local set 0xffee abcd revert", [(0xFFEE, b"mine")]),
        ("rewrite edns0 local unset 0xffee", []),
        (
            "rewrite continue edns0 local set 0xffee abcd\nrewrite edns0 local replace 0xffee bcde revert",
            [(0xFFEE, b"abcd")],
        ),
        ("rewrite edns0 local append 0xffef abcd revert", []),
        ("rewrite edns0 subnet set 24 56", []),
        ("rewrite edns0 nsid set", []),
    ],
)
def test_options_of_the_reply(rules, shown):
    option = dns.edns.GenericOption(0xFFEE, b"mine")
    _, reply, _ = ask(rules, use_edns=0, options=[option])
    assert list(option_list(reply.options)) == shown


def test_an_option_that_the_reply_has_is_not_repeated():
    def answer(query):
        reply = Reply()
        reply.options = b"\xff\xee\0\1x"
        return reply

    assert ask("rewrite edns0 local set 0xffee y", behind=answer, use_edns=0)[1].options == b"\xff\xee\0\1x"


def test_a_client_without_edns_gets_a_reply_without():
    asked, reply, behind = ask("rewrite edns0 local set 0xffee abcd")
    assert behind.asked[0].edns.size == 4096
    (message,) = finish(asked, reply)
    assert dns.message.from_wire(message).edns == -1
