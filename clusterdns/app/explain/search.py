# SPDX-License-Identifier: Apache-2.0
"""Which names a client's resolver asks for, and when it stops: resolv.conf(5) as glibc and musl read it.

glibc (``__res_context_search``): a name with at least ``ndots`` dots is tried as written first, any other one last, and
the search list is gone through as long as there is no name, no data, or SERVFAIL. musl (``name_from_dns_search``): a
name with at least ``ndots`` dots is tried as written only, and anything but NXDOMAIN ends the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from clusterdns.dns import names
from clusterdns.errors import ExplainError, WireError

POD_NDOTS: Final = 5
"""What the kubelet writes for Pods with dnsPolicy ClusterFirst."""

DEFAULT_NDOTS: Final = 1
MAX_NDOTS: Final = 15
MAX_DOMAINS: Final = 32
"""As many as Kubernetes allows a Pod."""

Outcome: TypeAlias = Literal["answer", "no data", "no name", "failure", "refusal", "no reply"]

_GOES_ON: Final = frozenset(("no data", "no name", "failure"))
_OPTIONS: Final = "options"


class Rules(msgspec.Struct, frozen=True):
    """The part of a resolv.conf that decides which names are tried: ``domains`` are absolute."""

    domains: tuple[str, ...] = ()
    ndots: int = DEFAULT_NDOTS


class Attempt(msgspec.Struct, frozen=True):
    """One name that is tried, absolute, and why at this place."""

    name: str
    reason: str
    as_written: bool


class Search:
    """The attempts for one name, in glibc's order; each is followed by its outcome. Raises ExplainError."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.name = name
        self.rules = rules
        self.absolute = name.endswith(".")
        self.dots = name.count(".")
        self.outcomes: list[tuple[Attempt, Outcome]] = []
        if not self.absolute:
            name += "."
        try:
            names.from_text(name)
        except WireError as error:
            raise ExplainError(f"{self.name[:80]!r} is no name: {error}") from None

    def attempts(self) -> Iterator[Attempt]:
        """What is tried next; ``tell`` has to be called in between."""
        rules, dots = self.rules, self.dots
        written = self.name if self.absolute else f"{self.name}."
        if self.absolute:
            yield Attempt(written, "as written: it ends in a dot", True)
            return
        if not rules.domains:
            yield Attempt(written, "as written: there is no search list", True)
            return
        first = dots >= rules.ndots
        if first:
            yield Attempt(written, f"as written first: {_dots(dots)}, at least ndots ({rules.ndots})", True)
            if self.found:
                return
        for number, domain in enumerate(rules.domains, 1):
            attempt = Attempt(
                written + domain.removeprefix("."), f"search domain {number} of {len(rules.domains)}", False
            )
            if not _fits(attempt.name):
                continue
            yield attempt
            if self.found:
                return
            if self.outcomes[-1][1] not in _GOES_ON:
                break
        if not first:
            yield Attempt(written, f"as written last: {_dots(dots)}, fewer than ndots ({rules.ndots})", True)

    def tell(self, attempt: Attempt, outcome: Outcome) -> None:
        """What came of an attempt."""
        self.outcomes.append((attempt, outcome))

    @property
    def found(self) -> bool:
        """True if the last attempt has brought an answer."""
        return bool(self.outcomes) and self.outcomes[-1][1] == "answer"

    def hints(self) -> Iterator[str]:
        """What the search itself has to do with the result."""
        rules, tried = self.rules, len(self.outcomes)
        if self.absolute or not rules.domains:
            return
        last, _ = self.outcomes[-1]
        if self.found and last.as_written and tried > 1:
            names_were = "1 name was" if tried == 2 else f"{tried - 1} names were"
            yield (
                f"{names_were} tried in vain first, because {_dots(self.dots)} and ndots is {rules.ndots}: a dot at "
                f"the end ({self.name}.) or a lower ndots saves that"
            )
        if self.dots >= rules.ndots and not self.found:
            yield f"{_dots(self.dots)}, at least ndots ({rules.ndots}), so it was tried as an absolute name first"
        musl = self._musl()
        if musl:
            yield musl

    def _musl(self) -> str:
        """How musl comes to another end; empty if it doesn't."""
        if self.dots >= self.rules.ndots:
            if self.found and not self.outcomes[-1][0].as_written:
                return "musl (Alpine) does not find it: a name with that many dots is tried as written only"
            return ""
        for number, (attempt, outcome) in enumerate(self.outcomes[:-1], 1):
            if outcome != "no name" and not attempt.as_written:
                end = "does not find it: its search ends" if self.found else "ends its search"
                return f"musl (Alpine) {end} at step {number}, because the reply there isn't NXDOMAIN"
        return ""


def verdict(search: Search) -> Outcome:
    """What glibc tells its caller, from the outcomes of all attempts."""
    outcomes = search.outcomes
    if not outcomes or search.found or search.dots >= search.rules.ndots:
        return outcomes[-1][1] if not outcomes or search.found else outcomes[0][1]
    reached = [outcome for _, outcome in outcomes]
    return next((each for each in ("no data", "failure") if each in reached), reached[-1])


def parse_resolv_conf(text: str) -> Rules:
    """The last ``search`` or ``domain`` line and ``options ndots:N`` (resolv.conf(5))."""
    domains: tuple[str, ...] = ()
    ndots = DEFAULT_NDOTS
    for line in text.splitlines():
        keyword, *words = line.split() or [""]
        if keyword in ("search", "domain"):
            domains = tuple(words if keyword == "search" else words[:1])
        elif keyword == _OPTIONS:
            numbers = [word.removeprefix("ndots:") for word in words if word.startswith("ndots:")]
            ndots = next((min(int(each), MAX_NDOTS) for each in numbers if each.isdecimal()), ndots)
    return Rules(absolute_domains(domains), ndots)


def absolute_domains(domains: Sequence[str]) -> tuple[str, ...]:
    """Search domains with a dot at their end, each once. Raises ExplainError for one that is no name."""
    found: dict[str, None] = {}
    for domain in domains[:MAX_DOMAINS]:
        absolute = domain if domain.endswith(".") else f"{domain}."
        try:
            names.from_text(absolute)
        except WireError as error:
            raise ExplainError(f"search domain {domain[:80]!r} is no name: {error}") from None
        found[absolute] = None
    return tuple(found)


def _fits(name: str) -> bool:
    try:
        names.from_text(name)
    except WireError:
        return False
    return True


def _dots(number: int) -> str:
    return f"it has {number or 'no'} dot{'' if number == 1 else 's'}"
