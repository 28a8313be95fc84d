# SPDX-License-Identifier: Apache-2.0
"""Zones made at random, written in random ways, and names to ask them for.

Few labels make many meetings: wildcards beside and below names, empty non-terminals, aliases to anywhere, delegations
with names behind them. What the RFCs forbid is left out, as servers refuse it: other data beside a CNAME record, and
names below a DNAME record (RFC 6672 section 2.4) that no delegation hides.
"""

from __future__ import annotations

from random import Random

LABELS = ("a", "b", "c", "*", "ns", "X-y", "e\\.f", "_t")
TEXTS = ('"x"', '"a b"', '"semi;colon"', '"qu\\"ote"', "bare")
TYPES = ("A", "AAAA", "TXT", "MX", "SRV", "CNAME", "NS", "DNAME", "DS")

Names = tuple[str, ...]
"""The labels of a name, without those of the zone."""


class RandomZone:
    """A zone. ``sets`` has the record sets of each name: type to TTL and data in zone-file form."""

    def __init__(
        self, origin: str, random: Random, *, labels: tuple[str, ...] = LABELS, types: tuple[str, ...] = TYPES
    ) -> None:
        self.origin = origin
        self.random = random
        self._labels = labels
        self._types = types
        self.sets: dict[Names, dict[str, tuple[int, list[str]]]] = {}
        for _ in range(random.randrange(6, 22)):
            self._add(self._name())
        for name in [name for name, held in self.sets.items() if "DNAME" in held]:
            for other in [other for other in self.sets if len(other) > len(name) and other[-len(name) :] == name]:
                del self.sets[other]

    def _name(self) -> Names:
        depth = self.random.choice((1, 1, 2, 2, 3, 4))
        return tuple(self.random.choice(self._labels) for _ in range(depth))

    def _target(self) -> str:
        """A name to lead to: one of the zone, mostly, else one outside."""
        choice = self.random.random()
        if choice < 0.5 and self.sets:
            return self.absolute(self.random.choice([*self.sets]))
        return self.absolute(self._name()) if choice < 0.85 else self.random.choice(("out.other.test.", "other.test."))

    def _add(self, name: Names) -> None:
        held = self.sets.setdefault(name, {})
        if "CNAME" in held:
            return
        rtype = self.random.choice(self._types)
        if rtype == "CNAME" and held:
            return
        if rtype in ("NS", "DNAME") and (name[0] == "*" or {"NS", "DNAME"} & held.keys()):
            return  # RFC 4592 sections 4.2 and 4.4: what servers make of these differs
        if rtype == "DS" and "NS" not in held:
            return
        if rtype in held:
            return
        count = 1 if rtype in ("CNAME", "DNAME") else self.random.randrange(1, 4)
        data = list(dict.fromkeys(self._data(rtype) for _ in range(count)))
        held[rtype] = (self.random.choice((0, 60, 300, 7200)), data)
        if not held:
            del self.sets[name]

    def _data(self, rtype: str) -> str:
        random = self.random
        match rtype:
            case "A":
                return f"192.0.2.{random.randrange(256)}"
            case "AAAA":
                return f"2001:db8::{random.randrange(1, 65536):x}"
            case "TXT":
                return " ".join(random.choice(TEXTS) for _ in range(2))
            case "MX":
                return f"{random.randrange(30)} {self._target()}"
            case "SRV":
                return f"0 {random.randrange(9)} 80 {self._target()}"
            case "DS":
                return f"{random.randrange(65536)} 8 2 {random.randbytes(32).hex().upper()}"
            case _:
                return self._target()

    def absolute(self, name: Names) -> str:
        return ".".join((*name, self.origin))

    def text(self) -> str:
        """The master file."""
        writer = _Writer(self.random, self.origin)
        for name, held in sorted(self.sets.items()):
            for rtype, (ttl, data) in held.items():
                for each in data:
                    writer.record(self.absolute(name), ttl, rtype, each)
        return writer.text()

    def questions(self, count: int) -> list[str]:
        """Names in and around what there is, absolute."""
        random = self.random
        known = [*self.sets]
        parents = {name[start:] for name in known for start in range(1, len(name))}
        asked = [*known, *sorted(parents)]
        while len(asked) < count:
            name = random.choice(known)
            cut = random.randrange(len(name))
            labels = [random.choice(self._labels) for _ in range(random.randrange(1, 3))]
            asked.append(random.choice(((*labels, *name[cut:]), (*labels, *name), self._name())))
        return [self.absolute(name) for name in dict.fromkeys(asked)]


class _Writer:
    """Writes the same records in one of many ways (RFC 1035 section 5.1, RFC 2308 section 4)."""

    def __init__(self, random: Random, origin: str) -> None:
        self.random = random
        self.origin = origin
        self.default_ttl = random.choice((None, 60, 300))
        self.last = ""
        self.lines = [f"$ORIGIN {origin}", "@ 300 IN SOA ns1.other.test. admin 1 3600 600 86400 60"]
        if self.default_ttl is not None:
            self.lines.insert(0, f"$TTL {self.default_ttl}")
        self.lines.append("@ 300 IN NS ns1.other.test.")

    def record(self, owner: str, ttl: int, rtype: str, data: str) -> None:
        random = self.random
        name = "" if owner == self.last and random.random() < 0.7 else self._name(owner)
        shown_ttl = "" if ttl == self.default_ttl and random.random() < 0.7 else self._ttl(ttl)
        shown_class = random.choice(("", "IN", "in"))
        middle = [shown_ttl, shown_class] if random.random() < 0.5 else [shown_class, shown_ttl]
        words = [*filter(None, middle), random.choice((rtype, rtype.lower())), data]
        line = f"{name}{random.choice((' ', chr(9), '   '))}{' '.join(words)}"
        if random.random() < 0.2 and '"' not in data:
            line = line.replace(f" {data}", f" ( ; opened\n  {data.replace(' ', chr(10) + chr(9), 1)} ) ; closed")
        if random.random() < 0.2:
            line += random.choice((" ; a comment", "\t", "   ", "\n\n", "\n ; nothing"))
        self.lines.append(line)
        self.last = owner

    def _name(self, owner: str) -> str:
        relative = owner.removesuffix("." + self.origin)
        if relative == owner or self.random.random() < 0.3:
            return owner
        if self.random.random() < 0.2:
            return relative.replace("a", "\\097").replace("b", "\\b")
        return relative

    def _ttl(self, ttl: int) -> str:
        return {60: "1m", 7200: "1h60m"}.get(ttl, str(ttl)) if self.random.random() < 0.3 else str(ttl)

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"
