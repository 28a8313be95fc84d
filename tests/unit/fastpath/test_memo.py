# SPDX-License-Identifier: Apache-2.0
"""What is remembered, for how long, and that every use is told."""

from collections import Counter

from clusterdns.fastpath import memo as memo_module
from clusterdns.fastpath.memo import BODIES, COUNT, USES, Memo

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


def test_passing_entries_go_with_a_refresh_and_others_stay():
    told = Counter()
    memo = Memo(lambda subject, hits: told.update({subject: hits}))
    memo.remember(QUERY, (b"..x", b"..y"), "p", passing=True)
    memo.remember(b"..other", (b"..z",), "s")
    use(memo)
    memo.refresh()
    assert list(memo.entries) == [b"other"]
    assert told == {"p": 1}


def test_a_full_memo_starts_anew_without_losing_counts(monkeypatch):
    monkeypatch.setattr(memo_module, "MAX_ENTRIES", 2)
    told = Counter()
    memo = Memo(lambda subject, hits: told.update({subject: hits}))
    memo.remember(QUERY, (b"..x",), "s")
    use(memo)
    memo.remember(b"..a", (b"..x",), "a")
    memo.remember(b"..b", (b"..x",), "b")
    assert list(memo.entries) == [b"b"]
    assert told == {"s": 1}


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
    for number in range(10):
        memo.remember(b"..%d" % number, (b"x" * 30,), number)
        assert sum(len(body) + 2 for entry in memo.entries.values() for body in entry[BODIES]) <= 100
