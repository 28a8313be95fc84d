# SPDX-License-Identifier: Apache-2.0
"""A server process under measurement: started on one core, asked for its CPU time and memory, stopped.

The servers share one core, of which all but one are idle at any time. The load, and the name servers that forwarded
queries go to, have the next one.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

SERVER_CORE = 0
LOAD_CORE = 1
START_SECONDS = 60
STOP_SECONDS = 5
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerFailedError(RuntimeError):
    """A server that ended or never answered; the text is what it printed."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing has just now, for UDP and TCP alike.

    They are below those that systems give to clients (from 32768 on Linux), which any socket may get the next moment.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports += [port] if port not in ports else []
    return ports


def pin_to_core(core: int) -> None:
    """Keep this process, and those that it starts, on one core, where it may have that."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {core})


@dataclass
class MeasuredServer:
    """A context manager around the process.

    command: program and arguments; the process listens on ``port`` of 127.0.0.1.
    core: where it runs; what isn't measured runs beside the load.
    """

    name: str
    port: int
    command: list[str]
    working_directory: Path | None = None
    core: int = SERVER_CORE
    _process: subprocess.Popen[bytes] = field(init=False, repr=False)

    def __enter__(self) -> MeasuredServer:
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self.command,
            cwd=self.working_directory,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: pin_to_core(self.core),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def wait_until_it_answers(self, query: bytes) -> float:
        """Ask until a reply comes; the seconds that took. Raises ServerFailedError."""
        start = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.1)
            client.connect(("127.0.0.1", self.port))
            while time.monotonic() - start < START_SECONDS:
                if self._process.poll() is not None:
                    break
                try:
                    client.send(query)
                    client.recv(4096)
                except TimeoutError:
                    continue
                except ConnectionRefusedError:
                    time.sleep(0.02)
                    continue
                return time.monotonic() - start
        raise ServerFailedError(f"{self.name} does not answer:\n{self.output()}")

    @property
    def running(self) -> bool:
        """False once the process has ended."""
        return self._process.poll() is None

    def output(self) -> str:
        """What it has printed so far."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def kill(self) -> None:
        """End the process at once, whatever it has open."""
        self._process.kill()
        self._process.wait()
        self._output.close()

    def cpu_seconds(self) -> float:
        """User and system time so far, child processes included; counted in clock ticks, so good to 10 ms."""
        return sum(_ticks(pid) for pid in _family(self._process.pid)) / _TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Resident memory, child processes included."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in _family(self._process.pid))

    def forget_peak(self) -> None:
        """From now on ``peak_bytes`` is about what comes."""
        for pid in _family(self._process.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets the peak resident set size

    def peak_bytes(self) -> int:
        """The largest resident memory so far, child processes included."""
        return sum(_peak(pid) for pid in _family(self._process.pid))


def _peak(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))


def _ticks(pid: int) -> int:
    # The program's name, in brackets, may hold blanks; utime and stime are the 14th and 15th field (proc(5)).
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])
