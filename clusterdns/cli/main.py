# SPDX-License-Identifier: Apache-2.0
"""The command ``clusterdns``: subcommands, and CoreDNS's flags where there is none.

Commands are modules of this package, imported when they are asked for, so that each pays for its own imports only.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("clusterdns.cli.serve", "answer DNS queries by a Corefile, or straight from a directory of manifests"),
    "check": ("clusterdns.cli.check", "report all errors and warnings of a Corefile"),
    "fmt": ("clusterdns.cli.fmt", "format a Corefile"),
    "diff": ("clusterdns.cli.diff", "tell what another Corefile would change"),
    "explain": ("clusterdns.cli.explain", "tell why a name resolves as it does, or doesn't"),
    "plugins": ("clusterdns.cli.plugins", "list the directives"),
    "help": ("clusterdns.cli.help", "show the manual page of a directive"),
}
"""Module and one-line description; the module has ``run(arguments) -> exit code``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words and words[0] in ("-h", "-help", "--help"):
            sys.stdout.write(usage())
            return 0
        name = COMMANDS[words[0]][0] if words and words[0] in COMMANDS else "clusterdns.cli.dropin"
        module = _imported(name)
        code: int = module.run(words[1:] if words and words[0] in COMMANDS else words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has gone; what it wanted it has.
        sys.stdout = None
        return 0


def _imported(name: str) -> ModuleType:
    # What imports make stays. To look for garbage among it again and again would be a twentieth of the start.
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.enable()


def usage() -> str:
    """The text of ``clusterdns --help``."""
    commands = "\n".join(f"  {name:<8} {text}" for name, (_, text) in COMMANDS.items())
    return f"""usage: clusterdns COMMAND [ARGUMENT ...]
       clusterdns [-conf FILE] [-dns.port N] [-pidfile FILE] [-quiet] [-version] [-plugins]

commands:
{commands}

`clusterdns COMMAND --help` tells more. Without a command clusterdns takes the flags of CoreDNS:
  -conf FILE     Corefile to serve (default ./Corefile; `stdin` reads it from there)
  -dns.port N    port of server blocks that name none (default 53); also -p N
  -pidfile FILE  write the process ID there once the server answers
  -quiet         don't print zones and version at start
  -version       print the version
  -plugins       list the directives
"""
