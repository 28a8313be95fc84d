# SPDX-License-Identifier: Apache-2.0
"""What is remembered, for how long, and that every use is told."""

from collections import Counter
from random import Random

import dns.message
import dns.rrset
import pytest

from clusterdns.fastpath import memo as memo_module
from clusterdns.fastpath.memo import BODIES, COUNT, UNTIL, USES, Memo

QUERY = b"\x12\x34query"


def use(memo, times=1):
    for _ in range(times):
        memo.entries[QUERY[2:]][USES] += 1


def test_entries_stand_under_the_octets_behind_the_id():
    memo = Memo(lambda subject, hits: None)
    memo.remember(QUERY, (b"\x12\x34one", b"\x12\x34two"), "s")
    entry = memo.entries[b"query"]
    assert (entry[COUNT], entry[BODIES]) == (2, (b"one", b"two"))


def test_a_query_is_wanted_once_it_has_come_before(monkeypatch):
    memo = Memo(lambda subject, hits: None)
    assert not memo.is_wanted(QUERY)
    assert memo.is_wanted(b"\xff\xff" + QUERY[2:])
    monkeypatch.setattr(memo_module, "MAX_SEEN", 3)
    for number in range(10):
        memo.is_wanted(b"..%d" % number)
    assert not memo.is_wanted(QUERY), "what was noted must be bounded"
    for number in range(3):
        memo.is_wanted(b"..x%d" % number)
    assert memo.is_wanted(QUERY), "but not forgotten at once"


def test_uses_are_reported_once():
    told = Counter()
    memo = Memo(lambda subject, hits: told.update({subject: hits}))
    memo.remember(QUERY, (b"..x",), "s")
    use(memo, 3)
    memo.flush()
    memo.flush()
    assert told == {"s": 3}
    use(memo, 2)
    memo.clear()
    assert told == {"s": 5}
    assert not memo.entries


def test_an_entry_whose_time_is_over_goes_and_others_stay():
    told = Counter()
    memo = Memo(lambda subject, hits: told.update({subject: hits}))
    memo.remember(QUERY, (b"..x", b"..y"), "p", until=10.0)
    memo.remember(b"..other", (b"..z",), "s")
    use(memo)
    assert memo.revive(QUERY[2:], 9.9) is memo.entries[QUERY[2:]]
    assert memo.revive(QUERY[2:], 10.0) is None
    assert memo.revive(QUERY[2:], 9.9) is None
    assert list(memo.entries) == [b"other"]
    assert told == {"p": 1}


class Countdown:
    """TTLs that the test says."""

    def __init__(self, *ttls, wants_uses=False):
        self.ttls = list(ttls)
        self.seconds = 1.0
        self.wants_uses = wants_uses

    def show(self):
        return self.ttls.pop(0)


def address_reply(last, ttl, *, opt=b""):
    query = dns.message.make_query("www.example.org.", "A", use_edns=0 if opt else False, payload=1232)
    made = dns.message.make_response(query, our_payload=1232)
    made.answer.append(dns.rrset.from_text("www.example.org.", ttl, "IN", "A", f"192.0.2.{last}"))
    return made.to_wire()


@pytest.mark.parametrize("opt", [b"", b"opt"])
def test_ttls_are_written_anew_for_as_long_as_somebody_knows_them(opt):
    told = Counter()
    memo = Memo(lambda subject, hits: told.update({subject: hits}))
    replies = tuple(address_reply(last, 30, opt=opt) for last in (1, 2))
    memo.remember(QUERY, replies, "s", until=10.0, ageing=Countdown(29, 7, None))
    use(memo, 3)
    for now, ttl in ((10.0, 29), (10.5, 29), (11.0, 7)):
        entry = memo.revive(QUERY[2:], now)
        assert entry[BODIES] == tuple(address_reply(last, ttl, opt=opt)[2:] for last in (1, 2))
        assert entry[UNTIL] == int(now) + 1.0
    assert told == {}
    assert memo.revive(QUERY[2:], 12.0) is None
    assert told == {"s": 3}
    assert not memo.entries
    assert memo._bytes == 0


def test_uses_are_reported_first_to_those_who_want_to_know():
    told = Counter()
    memo = Memo(lambda subject, hits: told.update({subject: hits}))
    memo.remember(QUERY, (address_reply(1, 30),), "s", until=1.0, ageing=Countdown(5, wants_uses=True))
    use(memo, 3)
    memo.revive(QUERY[2:], 2.0)
    assert told == {"s": 3}


def test_what_is_used_outlives_what_is_not(monkeypatch):
    monkeypatch.setattr(memo_module, "MAX_ENTRIES", 4)
    told = Counter()
    memo = Memo(lambda subject, hits: told.update({subject: hits}))
    memo.remember(QUERY, (b"..x",), "hot")
    for number in range(100):
        memo.remember(b"..%d" % number, (b"..x",), number)
        assert len(memo.entries) <= 4
        if number % 3 == 0:
            use(memo)
    assert b"0" not in memo.entries
    memo.clear()
    assert told == {"hot": 34}
    assert not memo.entries


def test_an_eviction_ends_where_everything_is_in_use(monkeypatch):
    monkeypatch.setattr(memo_module, "MAX_ENTRIES", 30)
    memo = Memo(lambda subject, hits: None)
    for number in range(100):
        for entry in memo.entries.values():
            entry[USES] += 1
        memo.remember(b"..%d" % number, (b"..x",), number)
    assert len(memo.entries) == 30


def test_one_name_more_than_there_is_room_for_costs_no_more_than_that_name(monkeypatch):
    monkeypatch.setattr(memo_module, "MAX_ENTRIES", 50)
    memo = Memo(lambda subject, hits: None)
    draw = Random(1)
    missed = 0
    for _ in range(10_000):
        name = b"..%d" % draw.randrange(55)
        entry = memo.entries.get(name[2:])
        if entry is None:
            missed += 1
            memo.remember(name, (b"..x",), name)
        else:
            entry[USES] += 1
    assert missed < 1_500


def test_what_is_remembered_anew_is_reported_and_counted_once():
    told = []
    memo = Memo(lambda subject, hits: told.append((subject, hits)))
    memo.remember(QUERY, (b"..xxxx",), "a")
    use(memo, 3)
    memo.remember(QUERY, (b"..xxxx",), "b")
    memo.flush()
    assert told == [("a", 3)]
    assert memo._bytes == 6


def test_bytes_are_bounded(monkeypatch):
    monkeypatch.setattr(memo_module, "MAX_BYTES", 100)
    memo = Memo(lambda subject, hits: None)
    for number in range(20):
        memo.remember(b"..%d" % number, (b"x" * 30,), number)
        assert sum(len(body) + 2 for entry in memo.entries.values() for body in entry[BODIES]) <= 100
    memo.remember(b"..large", (b"x" * 300,), "large")
    assert b"large" in memo.entries, "one alone is kept"
