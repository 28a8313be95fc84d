# SPDX-License-Identifier: Apache-2.0
"""One answer to a list: which revision it is of, which objects are on the page, and how to go on."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from operator import attrgetter

import msgspec

from clusterdns.testing.apiserver.resources import Target
from clusterdns.testing.apiserver.selection import Selection
from clusterdns.testing.apiserver.statuses import bad_request, expired, invalid
from clusterdns.testing.apiserver.storage import Storage
from clusterdns.testing.apiserver.stored import Stored

INCONSISTENT = -1
"""In a continue token: go on at whatever revision is the newest."""


class Token(msgspec.Struct, frozen=True):
    """A continue token: the list's revision, and the key of the last object that was given."""

    v: str
    rv: int
    start: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


class ListQuery(msgspec.Struct, frozen=True):
    """The parameters of a list. ``revision`` is None where none is asked for: a consistent read."""

    limit: int = 0
    token: Token | None = None
    revision: int | None = None
    match: str = ""

    @property
    def consistent(self) -> bool:
        """True if it needs what is the newest in the storage, and not only what the server has heard of."""
        return self.revision is None or self.token is not None


class Page(msgspec.Struct, frozen=True):
    """What is answered. ``remaining`` is None where a selector keeps the server from knowing."""

    items: list[Stored]
    revision: int
    token: str
    remaining: int | None


def parse_revision(text: str) -> int | None:
    """A resourceVersion; None for the empty one. Raises ApiStatus 400."""
    if not text:
        return None
    if not text.isdecimal():
        raise bad_request(f'invalid resource version "{text}"')
    return int(text)


def parse_list(query: Mapping[str, str]) -> ListQuery:
    """The parameters of a list. Raises ApiStatus 400 and 422 as a real server does."""
    if "sendInitialEvents" in query:
        raise invalid("ListOptions is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")
    match = query.get("resourceVersionMatch", "")
    revision = parse_revision(query.get("resourceVersion", ""))
    token = _parse_token(query["continue"]) if query.get("continue") else None
    if match and (token is not None or revision is None or (match == "Exact" and revision == 0)):
        raise invalid("ListOptions is invalid: resourceVersionMatch: Forbidden: there is no revision to match")
    if match not in ("", "Exact", "NotOlderThan"):
        raise invalid(f'ListOptions is invalid: resourceVersionMatch: Unsupported value: "{match}"')
    if token is not None and revision:
        raise bad_request("specifying resource version is not allowed when using continue")
    limit = query.get("limit") or "0"
    if not limit.isdecimal():
        raise bad_request(f"invalid limit {limit!r}")
    return ListQuery(int(limit), token, revision, match)


def list_page(storage: Storage, heard_of: int, target: Target, query: ListQuery, selection: Selection) -> Page:
    """The page. ``heard_of`` is the newest revision that this server knows, for reads that aren't consistent.

    Raises ApiStatus 410 for what is compacted, with a fresh token where a list was under way.
    """
    limit = query.limit
    start: tuple[str, str] | None = None
    if query.token is not None:
        namespace, _, name = query.token.start.partition("/")
        start = (namespace, name)
        revision = storage.revision if query.token.rv == INCONSISTENT else query.token.rv
        if revision < max(storage.compacted, storage.forgotten(target.resource)):
            raise expired(
                "The provided continue parameter is too old to display a consistent list result.",
                continue_token=Token(query.token.v, INCONSISTENT, query.token.start).encode(),
            )
    elif query.revision is None:
        revision = storage.revision
    elif query.match == "Exact":
        revision = query.revision
        if revision < storage.compacted:
            raise expired(f"The resourceVersion for the provided list is too old: {revision}")
    else:
        revision = heard_of
        limit = 0 if query.revision == 0 else limit  # a real server's watch cache gives the whole list
    return _cut(storage.ordered(target.resource, revision), revision, start, limit, selection)


def encode_list(target: Target, page: Page, *, metadata_only: bool) -> Iterator[bytes]:
    """The body, in pieces."""
    kind, api_version = f"{target.resource.kind}List", target.resource.api_version
    if metadata_only:
        kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
    metadata: dict[str, object] = {"resourceVersion": str(page.revision)}
    if page.token:
        metadata["continue"] = page.token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    head = msgspec.json.encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    yield head[:-1] + b',"items":['
    encoded = attrgetter("metadata" if metadata_only else "item")
    for first in range(0, len(page.items), 50):
        piece = b",".join(map(encoded, page.items[first : first + 50]))
        yield b"," + piece if first else piece
    yield b"]}\n"


def _cut(objects: list[Stored], revision: int, start: tuple[str, str] | None, limit: int, selection: Selection) -> Page:
    first = bisect_right(objects, start, key=attrgetter("key")) if start is not None else 0
    if selection.everything and not selection.namespace:
        matching = objects[first : first + limit + 1] if limit else objects[first:]
        remaining: int | None = len(objects) - first - limit
    else:
        matching, remaining = [each for each in objects[first:] if selection(each)], None
        if selection.everything:
            remaining = len(matching) - limit
    if not limit or len(matching) <= limit:
        return Page(matching, revision, "", None)
    items = matching[:limit]
    token = Token("meta.k8s.io/v1", revision, "/".join(items[-1].key))
    return Page(items, revision, token.encode(), remaining)


def _parse_token(text: str) -> Token:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Token)
    except (ValueError, msgspec.DecodeError):
        raise bad_request("continue key is not valid") from None
