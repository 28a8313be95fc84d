# SPDX-License-Identifier: Apache-2.0
"""The rules of ``rewrite``: what each does to a query, and what it wants done to the reply."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from clusterdns.dns import names
from clusterdns.dns.edns import NSID, Edns, encode_option, option_list
from clusterdns.plugins.rewrite.matching import Exchange, Pattern
from clusterdns.plugins.rewrite.restoring import Owners, Step, Values
from clusterdns.serving.query import Query

SUBNET: Final = 8

ADDED_OPT_BYTES: Final = 4096
"""UDP payload size of the OPT record that an option is put into where the client has sent none."""

Action: TypeAlias = Literal["set", "append", "replace", "unset"]

ACTIONS: Final[tuple[Action, ...]] = ("set", "append", "replace", "unset")


class Draft:
    """A query while the rules are applied to it.

    client_query: as it came.
    name: lower-case text.
    options, echoed: EDNS options as they go down the chain, and as the reply may repeat them; None without OPT record.
    steps: what is to be done to the reply, the last one first.
    by_client: True if more than the query's bytes decided something.
    """

    def __init__(self, query: Query) -> None:
        self.client_query = query
        self.name = names.to_text(query.key)
        self.qtype = query.qtype
        self.qclass = query.qclass
        self.options = self.echoed = None if query.edns is None else query.edns.options
        self.steps: list[Step] = []
        self.by_client = False

    def query(self) -> Query:
        """The query to send down the chain, the client's own if nothing has changed. Raises WireError."""
        query = self.client_query
        name = query.name if self.name == names.to_text(query.key) else names.from_text(self.name)
        if (name, self.qtype, self.qclass) == (query.name, query.qtype, query.qclass):
            return query if self.options == (query.edns and query.edns.options) else query.derive(edns=self._edns())
        return query.derive(name=name, qtype=self.qtype, qclass=self.qclass, edns=self._edns())

    def _edns(self) -> Edns | None:
        edns = self.client_query.edns
        if self.options is None:
            return edns
        return msgspec.structs.replace(edns or Edns(ADDED_OPT_BYTES), options=self.options)


class Rule(Protocol):
    """One use of the directive.

    stop: True if no further rule is applied after this one was.
    always: True if it applies to every query.
    """

    @property
    def stop(self) -> bool: ...

    @property
    def always(self) -> bool: ...

    def apply(self, draft: Draft) -> bool:
        """Change the query if the rule is for it; True if it is."""


class NameRule(msgspec.Struct, frozen=True):
    """``name``. ``steps`` are done to the reply; with ``auto`` also what undoes this very change."""

    stop: bool
    pattern: Pattern
    replacement: str
    auto: bool = False
    steps: tuple[Step, ...] = ()
    always: bool = False

    def apply(self, draft: Draft) -> bool:
        """See Rule."""
        before = draft.name
        after = self.pattern.replace(before, self.replacement)
        if after is None:
            return False
        draft.name = after if after.endswith(".") else after + "."
        if self.auto:
            undo = Exchange(draft.name, before)
            draft.steps += (Owners(undo), Values(undo))
        draft.steps += self.steps
        return True


class TypeRule(msgspec.Struct, frozen=True):
    """``type``."""

    stop: bool
    old: int
    new: int
    always: bool = False

    def apply(self, draft: Draft) -> bool:
        """See Rule."""
        if draft.qtype != self.old:
            return False
        draft.qtype = self.new
        return True


class ClassRule(msgspec.Struct, frozen=True):
    """``class``."""

    stop: bool
    old: int
    new: int
    always: bool = False

    def apply(self, draft: Draft) -> bool:
        """See Rule."""
        if draft.qclass != self.old:
            return False
        draft.qclass = self.new
        return True


class ReplyRule(msgspec.Struct, frozen=True):
    """``ttl`` and ``rcode`` for queries whose name matches, ``cname`` for all (``pattern`` is None)."""

    stop: bool
    step: Step
    pattern: Pattern | None = None

    @property
    def always(self) -> bool:
        """See Rule."""
        return self.pattern is None

    def apply(self, draft: Draft) -> bool:
        """See Rule."""
        if self.pattern is not None and not self.pattern.matches(draft.name):
            return False
        draft.steps.append(self.step)
        return True


class Value(Protocol):
    """The data of an EDNS option, None where there is none for a query."""

    @property
    def by_client(self) -> bool:
        """True if it isn't decided by the query's bytes."""

    def data(self, draft: Draft) -> bytes | None:
        """The octets."""


class Fixed(msgspec.Struct, frozen=True):
    """The same octets for all queries."""

    octets: bytes = b""
    by_client: bool = False

    def data(self, draft: Draft) -> bytes | None:
        """See Value."""
        return self.octets


class Variable(msgspec.Struct, frozen=True):
    """``{client_ip}`` and so on; any other name is a label of the metadata."""

    name: str

    @property
    def by_client(self) -> bool:
        """See Value."""
        return self.name not in ("qname", "qtype")

    def data(self, draft: Draft) -> bytes | None:
        """See Value."""
        query = draft.client_query
        client = query.client
        match self.name:
            case "qname":
                unchanged = draft.name == names.to_text(query.key)
                return (names.to_text(query.name) if unchanged else draft.name).encode()
            case "qtype":
                return draft.qtype.to_bytes(2, "big")
            case "client_ip":
                return client.ip.packed
            case "client_port":
                return client.port.to_bytes(2, "big")
            case "server_ip":
                return _packed(client.local_address)
            case "server_port":
                return client.local_port.to_bytes(2, "big")
            case "protocol":
                return client.protocol.encode()
        return query.metadata.get(self.name).encode() or None


VARIABLES: Final = ("qname", "qtype", "client_ip", "client_port", "protocol", "server_ip", "server_port")


class Subnet(msgspec.Struct, frozen=True):
    """EDNS Client Subnet (RFC 7871 section 6): the first bits of the client's address, by its family."""

    v4_bits: int
    v6_bits: int
    by_client: bool = True

    def data(self, draft: Draft) -> bytes | None:
        """See Value."""
        ip = draft.client_query.client.ip
        bits = self.v4_bits if ip.version == 4 else self.v6_bits
        network = ip_network((ip.packed, bits), strict=False)
        family = 1 if ip.version == 4 else 2
        return bytes((0, family, bits, 0)) + network.network_address.packed[: (bits + 7) // 8]


class OptionRule(msgspec.Struct, frozen=True):
    """``edns0``. With ``revert`` the reply doesn't show the change."""

    stop: bool
    action: Action
    code: int
    value: Value = Fixed()
    revert: bool = False

    @property
    def always(self) -> bool:
        """See Rule."""
        return self.action == "unset" or (self.action == "set" and isinstance(self.value, (Fixed, Subnet)))

    def apply(self, draft: Draft) -> bool:
        """See Rule."""
        draft.by_client = draft.by_client or self.value.by_client
        data = self.value.data(draft)
        if data is None:
            return False
        changed = changed_options(draft.options, self.action, self.code, data)
        if changed is None:
            return self.action == "unset"
        draft.options = changed
        if not self.revert:
            echoed = changed_options(draft.echoed, self.action, self.code, data)
            draft.echoed = draft.echoed if echoed is None else echoed
        return True


def changed_options(options: bytes | None, action: Action, code: int, data: bytes) -> bytes | None:
    """Options in wire form after the action; None if there is nothing to do."""
    before = list(option_list(options or b""))
    position = next((number for number, (present, _) in enumerate(before) if present == code), None)
    if position is None:
        if action not in ("set", "append"):
            return None
        after = [*before, (code, data)]
    elif action == "unset":
        after = [option for option in before if option[0] != code]
    elif action == "append":
        return None
    else:
        after = [*before[:position], (code, data), *before[position + 1 :]]
    return b"".join([encode_option(code, data) for code, data in after])


def echoed_options(options: bytes | None, codes: frozenset[int]) -> bytes:
    """Those of the options that have one of the codes, in wire form."""
    if not options or not codes:
        return b""
    return b"".join([encode_option(code, data) for code, data in option_list(options) if code in codes])


def local_codes(rules: tuple[Rule, ...]) -> frozenset[int]:
    """The codes of options that ``edns0 local`` rules speak of."""
    codes = {rule.code for rule in rules if isinstance(rule, OptionRule)}
    return frozenset(codes - {NSID, SUBNET})


def _packed(address: str) -> bytes | None:
    try:
        return ip_address(address).packed
    except ValueError:
        return None
