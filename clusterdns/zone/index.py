# SPDX-License-Identifier: Apache-2.0
"""Which objects hold an address, and which addresses stand below a reverse name."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from clusterdns.cluster.objects import Key

_MANY: Final = 256
"""Changes at once from which on sorting anew, at the next question, is cheaper than moving the list for each."""


class AddressIndex:
    """Objects by address (as an index key); an object may hold many addresses, and an address belong to many."""

    def __init__(self) -> None:
        self._holders: dict[str, tuple[Key, ...]] = {}

    def update(self, holder: Key, old: set[str], new: set[str]) -> set[str]:
        """The object held ``old`` and now holds ``new``. Returns the addresses for which that makes a difference."""
        holders = self._holders
        # Addresses of one object share this tuple: with a hundred thousand of them that is what the index costs.
        alone = (holder,)
        for address in old - new:
            rest = tuple([key for key in holders[address] if key != holder])
            if rest:
                holders[address] = rest
            else:
                del holders[address]
        for address in new - old:
            others = holders.get(address)
            holders[address] = tuple(sorted((*others, holder))) if others else alone
        return old ^ new

    def holders(self, address: str) -> tuple[Key, ...]:
        """The objects that hold the address, sorted."""
        return self._holders.get(address, ())

    def held_in(self, namespaces: AbstractSet[str]) -> list[str]:
        """The addresses that an object in one of the namespaces holds."""
        return [
            address
            for address, holders in self._holders.items()
            if holders[0][0] in namespaces or any(namespace in namespaces for namespace, _ in holders[1:])
        ]


class ReverseTree:
    """The addresses that have a PTR record, for questions about the names above them.

    Few ask such questions, so the sorted list is made at the first one and kept up to date from then on.

    all_addresses: gives all of them, in any order.
    has_record: tells of one address whether it is among them.
    """

    def __init__(self, all_addresses: Callable[[], Iterable[str]], has_record: Callable[[str], bool]) -> None:
        self._all_addresses = all_addresses
        self._has_record = has_record
        self._sorted: list[str] | None = None

    def forget(self) -> None:
        """Anything may have changed."""
        self._sorted = None

    def update(self, touched: set[str]) -> None:
        """The records of these addresses may have come or gone."""
        addresses = self._sorted
        if addresses is None:
            return
        if len(touched) > _MANY:
            self._sorted = None
            return
        for address in touched:
            position = bisect_left(addresses, address)
            there = position < len(addresses) and addresses[position] == address
            if there and not self._has_record(address):
                del addresses[position]
            elif not there and self._has_record(address):
                insort(addresses, address)

    def has_below(self, prefix: str) -> bool:
        """True if any address has a key that starts so."""
        addresses = self._sorted
        if addresses is None:
            addresses = self._sorted = sorted(set(self._all_addresses()))
        position = bisect_left(addresses, prefix)
        if position == len(addresses):
            return False
        # The empty prefix is that of in-addr.arpa, which has no IPv6 addresses below it.
        first = addresses[position]
        return first.startswith(prefix) and first.startswith(":") == prefix.startswith(":")
