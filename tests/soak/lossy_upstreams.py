# SPDX-License-Identifier: Apache-2.0
"""lossy_upstreams.py PORT...: upstreams that lose and duplicate 5 % of the replies, and send them in another order.

They are those of the other tests, in a process of their own so that they don't slow down who asks them.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.upstream import Faults, Upstream

FAULTS = Faults(lost=0.05, twice=0.05, delay_seconds=0.05)


async def serve(ports: list[int]) -> None:
    """Answer until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    upstreams = [Upstream(FAULTS) for _ in ports]
    for upstream, port in zip(upstreams, ports, strict=True):
        upstream.questions = cast(Any, deque(maxlen=1))  # millions come
        await upstream.start(port)
    print("ready", flush=True)
    await stopped.wait()
    for upstream in upstreams:
        await upstream.stop()


if __name__ == "__main__":
    asyncio.run(serve([int(word) for word in sys.argv[1:]]))
