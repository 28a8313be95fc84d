# SPDX-License-Identifier: Apache-2.0
"""One list that comes as documents: in pages, or whole out of a server's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from clusterdns.cluster.changes import Event
from clusterdns.cluster.items import Item
from clusterdns.cluster.reflector.bodies import ListBody
from clusterdns.cluster.reflector.ledger import Ledger, revision_number
from clusterdns.errors import ApiError

_MOST_EXPIRED: Final = 3
_MOST_FAILED: Final = 3


class StaleList(ApiError):
    """The list is older than what is known."""


class _Meta(msgspec.Struct):
    continue_: str | None = msgspec.field(default=None, name="continue")


class _Gone(msgspec.Struct):
    metadata: _Meta | None = None


class Listing:
    """Hands the items of a list to the ledger.

    decode: see ``ListBody``.
    least: the revision that the list must have at least; 0 for any.

    token: leads to the next page; empty for the first one.
    revision: of the first page, empty before it: what happens afterwards is for a watch to tell.
    """

    def __init__(self, ledger: Ledger, decode: Callable[[bytes], list[Item]], least: int = 0) -> None:
        self.token = ""
        self.revision = ""
        self._ledger = ledger
        self._decode = decode
        self._least = least
        self._page = ListBody(decode)
        self._held: list[list[Item]] = []
        self._expired = 0
        self._failed = 0
        ledger.begin_list()

    def begin_page(self) -> None:
        """The body of a page follows."""
        self._page = ListBody(self._decode)
        self._held = []

    def feed(self, data: bytes) -> Iterator[tuple[Event, ...]]:
        """A piece of the body. Raises ApiError, StaleList among them."""
        yield from self._read(self._page.feed(data))

    def end_page(self) -> Iterator[tuple[Event, ...]]:
        """The body has ended. Raises ApiError, StaleList among them."""
        page = self._page
        yield from self._read(page.end())
        if not page.revision:
            raise ApiError("the list has no revision")
        self._check_age()
        for items in self._held:
            yield self._ledger.listed(items)
        if page.token and page.token == self.token:
            raise ApiError("the pages of the list go round in circles")
        self.revision = self.revision or page.revision
        self.token = page.token
        self._failed = 0

    def go_on(self, body: bytes) -> bool:
        """The token has expired (410). Returns whether the Status in the body has another one.

        With it the rest comes at a newer revision. What happened in between to the pages before is in the watch from
        the first revision; of what that tells again, the ledger knows that it is known.
        """
        try:
            meta = msgspec.json.decode(body, type=_Gone).metadata
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if not self.token or meta is None or not meta.continue_ or self._expired >= _MOST_EXPIRED:
            return False
        self._expired += 1
        self.token = meta.continue_
        return True

    def may_repeat(self) -> bool:
        """A page has failed. Returns whether to ask for it again, so that those before it needn't come again."""
        self._failed += 1
        return bool(self.token) and self._failed <= _MOST_FAILED

    def _read(self, found: Iterable[list[Item]]) -> Iterator[tuple[Event, ...]]:
        for items in found:
            if self._least and not self._page.revision:
                # CustomResourceDefinitions say how old they are at the end.
                self._held.append(items)
                continue
            self._check_age()
            yield self._ledger.listed(items)

    def _check_age(self) -> None:
        if self._page.revision and revision_number(self._page.revision) < self._least:
            raise StaleList("the API server's memory is older than what is known", "it may be catching up")
