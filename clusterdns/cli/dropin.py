# SPDX-License-Identifier: Apache-2.0
"""CoreDNS's command line, as its Deployment uses it: ``-conf /etc/coredns/Corefile``.

Flags follow Go's rules: one or two dashes, ``-name value`` or ``-name=value``, the last one wins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import msgspec

from clusterdns.cli.main import COMMANDS, usage
from clusterdns.cli.plugins import usable
from clusterdns.cli.serving import serve_corefile, version_text

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class Flags(msgspec.Struct):
    """What the flags say. ``conf`` is None where none was given."""

    conf: str | None = None
    port: str = "53"
    pidfile: str = ""
    quiet: bool = False
    version: bool = False
    plugins: bool = False
    rest: list[str] = []


class UsageError(Exception):
    """Flags that can't be understood."""


_VALUES = {"conf": "conf", "dns.port": "port", "p": "port", "pidfile": "pidfile"}
_SWITCHES = {"quiet": "quiet", "version": "version", "plugins": "plugins"}


def parse_flags(words: Sequence[str]) -> Flags:
    """The flags in ``words``, up to the first word that is none. Raises UsageError."""
    flags = Flags()
    position = 0
    while position < len(words):
        word = words[position]
        if not word.startswith("-") or word == "-":
            break
        position += 1
        if word == "--":
            break
        if word.lstrip("-")[:1] in ("", "=") or word.startswith("---"):
            raise UsageError(f"bad flag syntax: {word}")
        name, equals, value = word.lstrip("-").partition("=")
        if name in _SWITCHES:
            if equals and value not in _TRUE + _FALSE:
                raise UsageError(f'invalid boolean value "{value}" for -{name}: parse error')
            setattr(flags, _SWITCHES[name], not equals or value in _TRUE)
        elif name in _VALUES:
            if not equals:
                if position == len(words):
                    raise UsageError(f"flag needs an argument: -{name}")
                value = words[position]
                position += 1
            setattr(flags, _VALUES[name], value)
        else:
            raise UsageError(f"flag provided but not defined: -{name}")
    flags.rest = list(words[position:])
    return flags


def run(words: Sequence[str]) -> int:
    """Serve as CoreDNS would with these flags; the exit code."""
    try:
        flags = parse_flags(words)
    except UsageError as error:
        sys.stderr.write(f"{error}\n{usage()}")
        return 2
    if flags.rest:
        sys.stderr.write(f"extra command line arguments: [{' '.join(flags.rest)}]\n")
        sys.stderr.write(f"    hint: the commands are {', '.join(COMMANDS)}; `clusterdns --help` tells more\n")
        return 1
    if flags.version:
        sys.stdout.write(version_text())
        return 0
    if flags.plugins:
        sys.stdout.write("".join(f"{line}\n" for line in usable()))
        return 0
    if not flags.port.isascii() or not flags.port.isdigit() or int(flags.port) > 65535:
        sys.stderr.write(f"-dns.port: {flags.port!r} is not a port: give a number from 0 to 65535\n")
        return 1
    path = flags.conf
    if path is None:
        path = "Corefile" if os.path.exists("Corefile") else ""
    return serve_corefile(path, default_port=int(flags.port), pidfile=flags.pidfile, quiet=flags.quiet)
