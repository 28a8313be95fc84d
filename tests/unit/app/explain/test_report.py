# SPDX-License-Identifier: Apache-2.0
"""The conclusion in a line, the hints worth having, and requests that are understood."""

import msgspec
import pytest

from clusterdns.app.explain.report import MAX_HINTS, Step, collect_hints, collect_origins, conclude, find_reason
from clusterdns.app.explain.request import Request, client_address, pod_key, question
from clusterdns.errors import ExplainError
from clusterdns.serving.trace import Candidate, Note, Origin, Summary, Trace, Visit


def step(outcome="no name", rcode="NXDOMAIN", *, name="web.test.", data=(), alias="", hint="", origin=None):
    notes = [Note("said", hint, (origin,) if origin else ())]
    trace = Trace(f"{name} A", visits=[Visit("kubernetes", f"{name} A", notes)])
    return Step(name, "as written", outcome, rcode, "udp", 0.1, data, "", (trace,), alias)


@pytest.mark.parametrize(
    ("outcome", "steps", "conclusion"),
    [
        ("answer", [step("answer", data=("1.1.1.1",))], "web.test. A is 1.1.1.1"),
        ("answer", [step(), step("answer", name="web.b.", data=("1.1.1.1",))], "A is 1.1.1.1, found as web.b."),
        ("answer", [step("answer", data=tuple("abcdef"))], "A is a, b, c, d and 2 more"),
        ("no name", [step()], "there is no such name (NXDOMAIN)"),
        ("no data", [step("no data", "NOERROR")], "there is no A record: the name exists"),
        ("no data", [step("no data", "NOERROR", alias="c.test.")], "it is an alias of c.test., of which there is no A"),
        ("no name", [step(alias="c.test.")], "it is an alias of c.test., which does not exist (NXDOMAIN)"),
        ("failure", [step("failure", "SERVFAIL", alias="c.test.")], "c.test., which could not be looked up (SERVFAIL)"),
        ("refusal", [step("refusal", "REFUSED")], "the query was refused (REFUSED)"),
        ("failure", [step("failure", "SERVFAIL")], "the server could not find out (SERVFAIL)"),
        ("no reply", [step("no reply", "")], "there is no reply"),
        ("no name", [step(), step(), step("refusal", "REFUSED")], "3 names were tried (2 NXDOMAIN, 1 REFUSED)"),
        ("no data", [step("no data", "NOERROR"), step("no reply", "")], "(1 without A, 1 no reply)"),
    ],
)
def test_the_conclusion(outcome, steps, conclusion):
    assert conclusion in conclude("web.test.", "A", outcome, tuple(steps))


def test_hints_of_steps_in_vain_are_left_out_where_there_is_an_answer():
    steps = step(hint="in vain"), step("answer", hint="useful")
    assert collect_hints("answer", steps, ["of the search"]) == ("useful", "of the search")
    assert collect_hints("no name", steps, []) == ("in vain", "useful")


def test_hints_are_told_once_and_are_not_too_many():
    steps = [step(hint="same"), step(hint="same"), *(step(hint=f"hint {number}") for number in range(9))]
    found = collect_hints("no name", steps, [])
    assert (found.count("same"), len(found)) == (1, MAX_HINTS)


def test_an_alias_that_leads_nowhere_comes_first():
    steps = step(name="web.a.", alias="gone.test.", hint="later"), step(name="web.b.")
    assert collect_hints("no name", steps, []) == (
        "web.a. is an alias of gone.test., which does not exist (NXDOMAIN)", "later",
    )  # fmt: skip


def test_to_ask_for_a_name_that_was_tried_is_no_hint():
    steps = step(name="Web.a.", hint="ask for web.a."), step(name="web.b.", hint="did you mean web.a.?")
    assert collect_hints("no name", steps, []) == ()


def test_a_name_that_is_in_no_zone_is_told():
    outside = step("refusal", "REFUSED")
    outside.traces[0].visits = []
    assert collect_hints("refusal", [outside], []) == (
        "no server block has web.test. in its zones, so nobody is asked",
    )


def test_the_reason_is_the_error_of_the_reply_or_what_its_directive_said():
    found = step(hint="none")
    found.traces[0].visits = [
        Visit("cache", "web.test. A", [Note("miss")], passed_on=True),
        Visit("forward", "web.test. A", [Note("asks"), Note("no reply came")], reply=Summary("SERVFAIL")),
    ]
    assert find_reason(found) == "forward: no reply came"
    found.traces[0].visits[1].reply = Summary("SERVFAIL", error="plugin/forward: no healthy upstream")
    assert find_reason(found) == "forward: no healthy upstream"
    found.traces[0].visits = []
    assert find_reason(found) == ""


def test_hints_and_objects_of_inner_look_ups_and_of_views_count():
    origin = Origin("Service", "dev/web")
    outer = step()
    outer.traces[0].inner.append(step(hint="inner", origin=origin).traces[0])
    outer.traces[0].considered.append(Candidate(".", "Corefile:1", True, "", (Note("view", "of a view"),)))
    assert set(collect_hints("no name", [outer], [])) == {"of a view", "inner"}
    assert collect_origins(outer) == (origin,)


@pytest.mark.parametrize(
    ("name", "rtype", "asked"),
    [
        ("www.test", "A", ("www.test", 1)),
        ("www.test.", "aaaa", ("www.test.", 28)),
        ("10.1.2.3", "A", ("3.2.1.10.in-addr.arpa.", 12)),
        ("10.1.2.3", "TXT", ("3.2.1.10.in-addr.arpa.", 16)),
        ("www.test", "TYPE65280", ("www.test", 65280)),
    ],
)
def test_the_question(name, rtype, asked):
    assert question(Request(name, rtype)) == asked


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: question(Request("")), "there is no name"),
        (lambda: question(Request("a", "NOPE")), "is no record type"),
        (lambda: client_address("10.0.0"), "is no IP address"),
        (lambda: pod_key("dev"), "write NAMESPACE/NAME"),
        (lambda: pod_key("a/b/c"), "write NAMESPACE/NAME"),
        (lambda: Request("a", ndots=16).rules(), "ndots is from 0 to 15"),
    ],
)
def test_what_is_not_understood_says_why(work, said):
    with pytest.raises(ExplainError, match=said):
        work()


def test_requests_and_steps_survive_their_way_over_the_socket():
    request = Request("web", pod="dev/web-0", search=("a.test.",), ndots=3)
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request
    sent = step(hint="x", origin=Origin("Service", "dev/web"))
    assert msgspec.json.decode(msgspec.json.encode(sent), type=Step) == sent
