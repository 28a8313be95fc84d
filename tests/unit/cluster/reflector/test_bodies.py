# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterdns.cluster.items import Item, ItemDecoder, decode_names
from clusterdns.cluster.reflector import bodies
from clusterdns.cluster.reflector.bodies import LineBody, ListBody
from clusterdns.errors import ApiError

META = {"resourceVersion": "77", "continue": "next", "remainingItemCount": 5}


def item(number: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": f"n{number}", "namespace": "dev", "resourceVersion": str(number), **more}}


def listed(items: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"kind": "ServiceList", "apiVersion": "v1", "metadata": META, "items": items, **more}


def read(data: bytes, piece_bytes: int) -> tuple[list[list[Item]], ListBody]:
    body = ListBody(decode_names)
    found: list[list[Item]] = []
    for start in range(0, len(data), piece_bytes):
        found.extend(body.feed(data[start : start + piece_bytes]))
    found.extend(body.end())
    return found, body


def names(found: list[list[Item]]) -> list[str]:
    return [each.name for items in found for each in items]


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SLICE_BYTES", 300)


WRITERS = {
    "compact": lambda value: json.dumps(value, separators=(",", ":")).encode() + b"\n",
    "spaced": lambda value: json.dumps(value).encode(),
    "indented": lambda value: json.dumps(value, indent=2).encode(),
    "items first": lambda value: json.dumps(dict(sorted(value.items(), reverse=False))).encode(),
}


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("piece_bytes", [1, 13, 299, 5000])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_list_is_cut_between_its_items_however_it_is_written(writer, piece_bytes):
    data = WRITERS[writer](listed([item(number) for number in range(50)]))
    found, body = read(data, piece_bytes)
    assert names(found) == [f"n{number}" for number in range(50)]
    assert (body.revision, body.token, body.remaining) == ("77", "next", 5)
    assert len(found) > 5


@pytest.mark.usefixtures("small_slices")
def test_what_looks_like_an_item_within_an_item_is_no_cut():
    nested = {"spec": {"templates": [item(1000 + number) for number in range(20)]}}
    data = WRITERS["compact"](listed([item(number) | nested for number in range(10)]))
    found, _ = read(data, 64)
    assert names(found) == [f"n{number}" for number in range(10)]


@pytest.mark.usefixtures("small_slices")
def test_strings_may_hold_what_items_begin_with():
    hostile = 'x"},{"metadata":{"name":"no"}},{"metadata":{'
    data = WRITERS["compact"](listed([item(number, labels={"a": hostile}) for number in range(20)]))
    found, _ = read(data, 50)
    assert names(found) == [f"n{number}" for number in range(20)]


@pytest.mark.usefixtures("small_slices")
def test_items_that_begin_differently_are_read_at_the_end():
    items = [item(0), *({"kind": "X", **item(number)} for number in range(1, 20))]
    found, _ = read(WRITERS["compact"](listed(items)), 50)
    assert names(found) == [f"n{number}" for number in range(20)]


def test_the_revision_is_known_as_soon_as_it_has_come():
    body = ListBody(decode_names)
    data = WRITERS["compact"](listed([item(1), item(2)]))
    assert list(body.feed(data[:-30])) == []
    assert body.revision == "77"


@pytest.mark.parametrize("items", [[], None])
def test_no_items_are_a_list_too(items):
    found, body = read(json.dumps({"metadata": META, "items": items}).encode(), 7)
    assert (found, body.revision) == ([], "77")


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_half_a_list_is_an_error(cut):
    data = WRITERS["compact"](listed([item(number) for number in range(30)])).rstrip()
    with pytest.raises(ApiError, match="the list can't be read"):
        read(data[:-cut], 100)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"<html>", b'{"items":5}', b'{"items":{"items":[]}}', b"\xff"])
def test_what_is_no_list_is_an_error(data):
    with pytest.raises(ApiError, match="the list can't be read"):
        read(data, 3)


def test_what_can_not_be_cut_is_held_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(bodies, "MAX_HELD_BYTES", 1 << 20)
    monkeypatch.setattr(bodies, "SLICE_BYTES", 1000)
    data = WRITERS["compact"](listed([{f"a{number}": "b" * 1000, **item(number)} for number in range(2000)]))
    with pytest.raises(ApiError, match="more than 1 MiB"):
        read(data, 5000)


def test_a_large_list_is_never_held():
    body = ListBody(ItemDecoder("Namespace").items)
    chunk = b",".join(json.dumps(item(number, a="b" * 500), separators=(",", ":")).encode() for number in range(1000))
    count = 0
    for piece in (b'{"metadata":{"resourceVersion":"1"},"items":[', *([chunk + b","] * 100), chunk, b"]}"):
        for items in body.feed(piece):
            count += len(items)
        assert len(body._buffer) < 2 * bodies.SLICE_BYTES
    assert count + sum(map(len, body.end())) == 101_000


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 9)
    | st.text(max_size=8)
    | st.sampled_from(['},{"metadata":', '"items":[']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(documents, max_size=12),
    st.integers(1, 80),
    st.sampled_from(sorted(WRITERS)),
    st.sampled_from([20, 100, 1000]),
)
def test_any_list_is_read_as_the_whole_of_it_would_be(values, piece_bytes, writer, slice_bytes):
    items = [item(number) | {"spec": value} for number, value in enumerate(values)]
    data = WRITERS[writer](listed(items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "SLICE_BYTES", slice_bytes)
        found, body = read(data, piece_bytes)
    assert names(found) == [f"n{number}" for number in range(len(items))]
    assert body.revision == "77"


@given(st.lists(st.binary(max_size=20).filter(lambda line: line.strip() and b"\n" not in line)), st.integers(1, 30))
def test_lines_come_whole_whatever_they_are_cut_into(lines, piece_bytes):
    data = b"".join(line + b"\n" for line in lines)
    body = LineBody()
    found = [
        line for start in range(0, len(data), piece_bytes) for line in body.feed(data[start : start + piece_bytes])
    ]
    assert found == lines
    assert not body.partial
    assert body.feed(b"half") == []
    assert body.partial


def test_a_line_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr(bodies, "MAX_HELD_BYTES", 1000)
    body = LineBody()
    assert [body.feed(b"x" * 100) for _ in range(10)] == [[]] * 10
    with pytest.raises(ApiError, match="a line of more than"):
        body.feed(b"x")
