# SPDX-License-Identifier: Apache-2.0
"""bind - listens on some addresses of the machine instead of on all.

## Description

A server block listens on every address of the machine, IPv4 and IPv6. With *bind* it listens only on those that are
given, or that the given network interfaces have when the configuration is loaded. It may be repeated; the addresses
add up. Server blocks may serve the same zone and port on different addresses.

Replies always leave from the address that was asked, with *bind* and without.

## Syntax

~~~ txt
bind ADDRESS|INTERFACE... {
    except ADDRESS|INTERFACE...
}
~~~

* **ADDRESS** is an IPv4 or IPv6 address, a link-local one with its interface: `fe80::1%eth0`.
* **INTERFACE** is the name of a network interface; it stands for all its addresses. An interface without any is an
  error.
* `except` leaves out addresses, or all those of an interface, from what this *bind* adds.

## Examples

Only on the loopback interface and on the address that NodeLocal DNSCache uses:

~~~ corefile
cluster.local:53 {
    bind 169.254.20.10 127.0.0.1
    whoami
}
~~~

On an interface, but not on one of its addresses:

~~~ corefile
. {
    bind lo {
        except 127.0.0.2
    }
    whoami
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.errors import ConfigError
from clusterdns.serving.plugin import Plugin


class Options(msgspec.Struct, frozen=True):
    """``addresses``: IP addresses as text, each once, in the order of the Corefile."""

    addresses: tuple[str, ...] = ()


class Bind(Plugin):
    """The directive; the planner asks for its addresses."""

    name = "bind"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """Addresses and interfaces, less the excepted ones."""
        addresses: dict[str, None] = {}
        for line in reader.lines:
            if not line.args:
                reader.report(
                    line.name.error(
                        "at least one address or interface name is expected",
                        label=ConfigError.NO_POSITION,
                    )
                )
            excepted: set[str] = set()

            def leave_out(option: Line, excepted: set[str] = excepted) -> None:
                option.no_block()
                if not option.args:
                    raise option.name.error(
                        "at least one address or interface must be given to except subdirective",
                        label=ConfigError.NO_POSITION,
                    )
                excepted.update(_resolve(reader, option.args))

            for option in line.block or ():
                with reader.collecting():
                    if option.name.text != "except":
                        raise option.name.error(f'invalid option "{option.name.text}"', hint="the only one is except")
                    leave_out(option)
            found = _resolve(reader, line.args)
            addresses.update(dict.fromkeys(address for address in found if address not in excepted))
            if found and not addresses:
                reader.report(line.name.error("no address is left to listen on", label=ConfigError.NO_POSITION))
        return Options(tuple(addresses))


def _resolve(reader: DirectiveReader, tokens: Iterable[Token]) -> list[str]:
    found: list[str] = []
    for token in tokens:
        with reader.collecting():
            found.extend(_addresses(reader, token))
    return found


def _addresses(reader: DirectiveReader, token: Token) -> tuple[str, ...]:
    try:
        return (str(ip_address(token.text)),)
    except ValueError:
        addresses = reader.block.interface_addresses(token.text)
    if not addresses:
        raise token.error(
            f'not a valid IP address or interface name: "{token.text}"',
            label=ConfigError.NO_POSITION,
            hint="`ip address` lists the interfaces of this machine and their addresses",
        )
    return addresses
