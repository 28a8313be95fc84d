# SPDX-License-Identifier: Apache-2.0
"""A report as text: the conclusion first, steps in vain in short, everything about the last one."""

from clusterdns.app.explain.report import Report, Step
from clusterdns.cli.explanation import explanation
from clusterdns.serving.trace import Candidate, Note, Origin, Summary, Trace, Visit

ORIGIN = Origin("Service", "dev/web", "revision 7", "web.yaml:3")
ANSWER = Summary("NOERROR", (1, 0, 0), "kubernetes", True)
DENIAL = Summary("NXDOMAIN", (0, 1, 0), "kubernetes", True)


def step(trace, *, outcome="answer", rcode="NOERROR", message=";; STATUS\n;; MORE", name="web.test."):
    return Step(name, "as written", outcome, rcode, "udp", 0.00125, ("10.0.0.1",), message, (trace,))


def report(*steps, hints=(), origins=(), search=()):
    return Report(
        "web", "A", "answer", "the conclusion", hints, origins, "10.1.1.1", "as given", "dns://:53", search, 5, steps
    )


def lines(*steps, verbose=False, **options):
    return [line.strip() for line in explanation(report(*steps, **options), verbose=verbose).splitlines() if line]


def trace(*visits, **options):
    considered = [Candidate(".", "Corefile:1", True)]
    return Trace("web.test. A", zone=".", place="Corefile:1", considered=considered, visits=list(visits), **options)


def test_the_conclusion_its_objects_and_hints_come_first():
    found = lines(step(trace()), hints=("do this",), origins=(ORIGIN,), search=("a.test.", "b.test."))
    assert found[:5] == [
        "the conclusion",
        "from Service dev/web (web.yaml:3), revision 7",
        "hint: do this",
        "asked from 10.1.1.1 (as given), at dns://:53",
        "search a.test. b.test. ndots 5",
    ]


def test_a_directive_stands_with_its_notes_its_objects_and_its_reply():
    visit = Visit("kubernetes", "web.test. A", [Note("it is there", origins=(ORIGIN,))], reply=ANSWER, seconds=0.002)
    assert lines(step(trace(visit)))[2:6] == [
        "1. web.test. A (as written): NOERROR in 1.2 ms",
        "server block   Corefile:1, zone .",
        "kubernetes     it is there",
        "from Service dev/web (web.yaml:3), revision 7",
    ]
    assert "-> NOERROR, 1 answer in 2.0 ms" in lines(step(trace(visit)))


def test_a_directive_without_words_passes_on_or_answers():
    visits = Visit("one", "web.test. A", passed_on=True, reply=ANSWER), Visit("two", "web.test. A", reply=ANSWER)
    found = lines(step(trace(*visits)))
    assert "one            passes it on" in found
    assert "two            answers" in found


def test_a_changed_question_and_a_changed_reply_show():
    visits = (
        Visit("rewrite", "web.test. A", [Note("rule 1")], True, ANSWER),
        Visit("kubernetes", "other.test. A", [], False, DENIAL),
    )
    found = lines(step(trace(*visits)))
    assert "passes on other.test. A" in found
    assert "changes the reply: NXDOMAIN, 1 authority -> NOERROR, 1 answer" in found


def test_what_got_no_reply_says_so():
    found = lines(step(trace(Visit("cache", "web.test. A", passed_on=True), Visit("forward", "web.test. A"))))
    assert found.count("no reply came back") == 2
    dropped = Visit("acl", "web.test. A", reply=Summary("NOERROR", dropped=True))
    assert "-> no reply in 0.0 ms" in lines(step(trace(dropped)))


def test_a_look_up_of_a_directive_stands_below_it():
    inner = Trace("a.inner. A", by="template", visits=[Visit("hosts", "a.inner. A", [Note("found")], reply=ANSWER)])
    visits = Visit("template", "web.test. A", [Note("matches")], reply=ANSWER), Visit("behind", "web.test. A")
    text = explanation(report(step(trace(*visits, inner=[inner]))))
    assert text.index("matches") < text.index("asks this server itself: a.inner. A") < text.index("found")
    assert text.index("found") < text.index("behind")


def test_blocks_that_are_passed_over_say_why():
    first = Candidate("test.", "Corefile:9", False, "inside", (Note("client_ip() == '10.0.0.1': false"),))
    asked = trace()
    asked.considered.insert(0, first)
    assert lines(step(asked))[3:5] == [
        "server block   Corefile:9, zone test., view inside: not this one", "client_ip() == '10.0.0.1': false",
    ]  # fmt: skip


def test_a_query_for_no_block_and_the_fast_path():
    asked = Trace("web.test. A", fast_path_reason="no server block answers")
    found = lines(step(asked, outcome="refusal", rcode="REFUSED"))
    assert "server block   none has the name in its zones, so the query is refused" in found
    assert "fast path      no: no server block answers" in found


def test_steps_in_vain_are_short_unless_all_is_wanted():
    vain = trace(
        Visit("cache", "web.test. A", [Note("miss")], True, DENIAL),
        Visit("kubernetes", "web.test. A", [Note("no such Service")], False, DENIAL),
        skipped=["forward"],
    )
    steps = step(vain, outcome="no name", rcode="NXDOMAIN"), step(trace())
    short, whole = lines(*steps), lines(*steps, verbose=True)
    assert "kubernetes     no such Service" in short
    assert "cache          miss" not in short
    assert {"cache          miss", "not reached    forward"} <= set(whole)
    assert (short.count(";; STATUS"), whole.count(";; STATUS")) == (1, 2)
