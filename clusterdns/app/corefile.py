# SPDX-License-Identifier: Apache-2.0
"""Where the configuration comes from, and how it is read again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from clusterdns.app.directives import DIRECTIVES
from clusterdns.config import planner
from clusterdns.config.expand import Source
from clusterdns.config.files import DiskFiles
from clusterdns.config.plan import LazyTable, Plan
from clusterdns.config.planner import Verdict
from clusterdns.errors import ConfigError, ConfigErrors
from clusterdns.transports.interfaces import interface_addresses

STDIN = "stdin"
MANIFESTS_VARIABLE = "CLUSTERDNS_MANIFESTS"
"""Names the directory that stands in for the API server where no other way says it."""


class Corefile:
    """A configuration that can be read again and again.

    path: as given on the command line; ``stdin`` is read once and kept; empty for ``text``.
    text: the configuration itself, where it does not come from a file.
    manifests: the directory that stands in for the API server where ``kubernetes`` names no source; empty for the one
        in the environment.
    """

    def __init__(self, path: str, *, text: str | None = None, default_port: int = 53, manifests: str = "") -> None:
        self.path = "/dev/stdin" if path == STDIN else path
        self._text = sys.stdin.read() if path == STDIN else text
        self._default_port = default_port
        manifests = manifests or os.environ.get(MANIFESTS_VARIABLE, "")
        self._manifests = os.path.abspath(manifests) if manifests else ""

    @property
    def directory(self) -> str:
        """Where imports start."""
        return str(Path(self.path).absolute().parent) if self._text is None else str(Path.cwd())

    def check(self, environment: Mapping[str, str] | None = None) -> Verdict:
        """All that is wrong or odd, and the plan. Raises ConfigErrors where the file can't be read."""
        try:
            text = DiskFiles().read(self.path) if self._text is None else self._text
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            message = f"open {self.path}: {reason}"
            raise ConfigErrors([ConfigError(message)]) from None
        return planner.check(
            Source(self.path, text, self.directory),
            LazyTable(DIRECTIVES, DIRECTIVES.find),
            environment=os.environ if environment is None else environment,
            default_port=self._default_port,
            files=DiskFiles(),
            interface_addresses=interface_addresses,
            manifests=self._manifests,
        )

    def plan(self) -> Plan:
        """The plan of what the files say now. Raises ConfigErrors."""
        verdict = self.check()
        if verdict.plan is None:
            raise ConfigErrors(verdict.errors)
        return verdict.plan
