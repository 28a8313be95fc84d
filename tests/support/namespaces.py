# SPDX-License-Identifier: Apache-2.0
"""Network namespaces that a test makes and removes, so that it can have addresses, ports and rules of its own."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

_CLONE_NEWNET = 0x40000000
_COMMAND_SECONDS = 20
_numbers = itertools.count()

T = TypeVar("T")


def why_not(*commands: str) -> str:
    """Why namespaces can't be made here, or ``commands`` aren't there; empty where all is well."""
    missing = [command for command in ("ip", *commands) if shutil.which(command) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    probe = subprocess.run(
        ["unshare", "-n", "true"], capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
    )
    return "" if probe.returncode == 0 else f"network namespaces can't be made here: {probe.stderr.strip()}"


class Namespaces:
    """Namespaces by a short name; all are removed at the end, with what still runs in them."""

    def __init__(self, *names: str) -> None:
        prefix = f"clusterdns-{os.getpid()}-{next(_numbers)}"
        self._full = {name: f"{prefix}-{name}" for name in names}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        for name, full in self._full.items():
            _run("ip", "netns", "add", full)
            self.run(name, "ip", "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(_COMMAND_SECONDS)
        for full in self._full.values():
            subprocess.run(["ip", "netns", "del", full], check=False, timeout=_COMMAND_SECONDS)

    def connect(self, one: str, one_address: str, other: str, other_address: str) -> None:
        """A cable between two namespaces, with an address (CIDR) at each end."""
        number = next(_numbers)
        ends = (f"v{os.getpid()}-{number}a"[-15:], f"v{os.getpid()}-{number}b"[-15:])
        _run(
            "ip", "link", "add", ends[0], "netns", self._full[one], "type", "veth",
            "peer", "name", ends[1], "netns", self._full[other],
        )  # fmt: skip
        for name, end, address in ((one, ends[0], one_address), (other, ends[1], other_address)):
            options = ("nodad",) if ":" in address else ()
            self.run(name, "ip", "addr", "add", address, "dev", end, *options)
            self.run(name, "ip", "link", "set", end, "up")

    def run(self, name: str, *command: str, text: str = "") -> str:
        """Run a command in a namespace, with ``text`` as its input; what it printed. Fails the test if it fails."""
        return _run("ip", "netns", "exec", self._full[name], *command, text=text)

    def start(self, name: str, *command: str, **options: object) -> subprocess.Popen[bytes]:
        """Start a process in a namespace."""
        line = ["ip", "netns", "exec", self._full[name], *command]
        process: subprocess.Popen[bytes] = subprocess.Popen(line, **options)  # type: ignore[call-overload]
        self._processes.append(process)
        return process

    def inside(self, name: str, work: Callable[[], T]) -> T:
        """Call ``work`` in a thread that is in the namespace; the sockets that it makes are, too."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter_and_work() -> None:
            try:
                with open(f"/run/netns/{self._full[name]}") as file:
                    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter_and_work, name=f"in {name}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]


def _run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout
