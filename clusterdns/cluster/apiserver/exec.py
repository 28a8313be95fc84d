# SPDX-License-Identifier: Apache-2.0
"""Credentials that another program makes: it is run in a process of its own, which exits, and asked again when they
expire or the API server doesn't take them any more.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from clusterdns.cluster.apiserver import exec_process
from clusterdns.cluster.apiserver.access import CredentialProgram, Made
from clusterdns.errors import ApiError

RUN_SECONDS = 60.0
EARLY_SECONDS = 30.0
"""Credentials are made anew so long before they expire."""

RETRY_SECONDS = 10.0
"""What the API server doesn't take is made anew no sooner than so long after it was made."""

MAX_FAULT_CHARACTERS = 300


class ExecCredentials:
    """The credentials of one user of a kubeconfig.

    command: what to run, without the path of the kubeconfig and the context.
    now: seconds since 1970.
    """

    def __init__(
        self,
        program: CredentialProgram,
        *,
        command: tuple[str, ...] = (sys.executable, "-P", str(Path(exec_process.__file__))),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._program = program
        self._command = command
        self._now = now
        self._made: Made | None = None
        self._made_at = 0.0
        self._expires_at = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> Made:
        """The credentials, which are made when there are none yet or they expire. Raises ApiError."""
        async with self._lock:
            if self._made is None or (self._expires_at and self._now() > self._expires_at - EARLY_SECONDS):
                made = await self._run()
                self._expires_at = _seconds(made.expires)
                self._made, self._made_at = made, self._now()
            return self._made

    def reject(self, made: Made) -> bool:
        """The API server didn't take them: True if others will be made when somebody asks."""
        if made is self._made and self._now() - self._made_at < RETRY_SECONDS:
            return False
        if made is self._made:
            self._made = None
        return True

    async def _run(self) -> Made:
        name = self._program.name
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                self._program.kubeconfig,
                self._program.context,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise ApiError(f"{name}: can't be run ({error})") from None
        try:
            async with asyncio.timeout(RUN_SECONDS):
                output, faults = await process.communicate()
        except TimeoutError:
            raise ApiError(f"{name}: gave no credentials within {RUN_SECONDS:g} s", timed_out=True) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode == exec_process.NOT_INSTALLED:
            raise ApiError(f"{name}: needs the Python package kubernetes", "pip install 'clusterdns[exec]'")
        if process.returncode:
            raise ApiError(f"{name}: {_last_line(faults) or f'exit code {process.returncode}'}")
        return self._check(output)

    def _check(self, output: bytes) -> Made:
        try:
            made = msgspec.json.decode(output, type=Made)
        except msgspec.MsgspecError as error:
            raise ApiError(f"{self._program.name}: what it gave can't be read ({error})") from None
        if not made.token and not (made.certificate and made.key):
            raise ApiError(f"{self._program.name}: gave neither a token nor a certificate with its key")
        return made


def _seconds(expires: str) -> float:
    """RFC 3339 → seconds since 1970; 0 for none, and for what can't be read."""
    try:
        return datetime.fromisoformat(expires).timestamp()
    except ValueError:
        return 0.0


def _last_line(faults: bytes) -> str:
    lines = faults.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:MAX_FAULT_CHARACTERS] if lines else ""
