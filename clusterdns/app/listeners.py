# SPDX-License-Identifier: Apache-2.0
"""The listening sockets of the process. They outlive a reload: a new configuration gets the sockets of the old one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from clusterdns.app.block import ListenAddress, server_label
from clusterdns.observability.metrics import Registry
from clusterdns.serving.engine import Engine
from clusterdns.transports.listen import ListenSockets, kernel_drops, open_listen_sockets
from clusterdns.transports.tcp import TcpListener
from clusterdns.transports.udp import UdpListener

DRAIN_SECONDS = 5.0
"""What is under way may take this long when a listener closes (CoreDNS's grace per server)."""


class ListenGroup:
    """The sockets of one listen address, and what reads from them once there is an engine."""

    def __init__(self, sockets: ListenSockets) -> None:
        self.sockets = sockets
        self._listeners: list[UdpListener | TcpListener] = []

    @property
    def port(self) -> int:
        """The port that was taken."""
        return self.sockets.port

    @property
    def packets(self) -> int:
        """How many DNS messages have come in."""
        return sum(listener.packets for listener in self._listeners)

    def losses(self) -> dict[str, int]:
        """How many datagrams were dropped so far, by reason."""
        found = [listener for listener in self._listeners if isinstance(listener, UdpListener)]
        return {
            "unread": sum(kernel_drops(listener.socket) for listener in found),
            "unsent": sum(listener.dropped for listener in found),
        }

    async def serve(self, engine: Engine) -> None:
        """Answer with ``engine`` from now on; the first call begins to read."""
        if self._listeners:
            for listener in self._listeners:
                listener.engine = engine
            return
        loop = asyncio.get_running_loop()
        self._listeners.extend(UdpListener(sock, engine, loop) for sock in self.sockets.udp)
        for sock in self.sockets.tcp:
            listener = TcpListener(sock, engine, loop)
            await listener.start()
            self._listeners.append(listener)

    async def close(self, drain_seconds: float) -> None:
        """Read no more, finish what is under way, close."""
        await asyncio.gather(*(listener.close(drain_seconds) for listener in self._listeners))
        if not self._listeners:
            for sock in (*self.sockets.udp, *self.sockets.tcp):
                sock.close()
        self._listeners.clear()


class Listeners:
    """All listen groups, by the listen address of the plan."""

    def __init__(self) -> None:
        self._groups: dict[ListenAddress, ListenGroup] = {}
        self._packets_before = 0

    def export(self, metrics: Registry) -> None:
        """Count what the listeners drop among the metrics; it is asked for at each scrape."""
        family = metrics.counter(
            "clusterdns_udp_dropped_total",
            "Counter of datagrams that were dropped before they were read, or instead of being sent.",
            ("server", "reason"),
        )

        def collect() -> None:
            family.clear()
            for (address, _), group in self._groups.items():
                for reason, number in group.losses().items():
                    family.labels(server_label((address, group.port)), reason).value += number

        metrics.on_collect(collect)

    @property
    def packets(self) -> int:
        """How many DNS messages have come in, those of closed listeners included."""
        return self._packets_before + sum(group.packets for group in self._groups.values())

    def open(self, addresses: Iterable[ListenAddress]) -> dict[ListenAddress, int]:
        """Open the addresses that are not open yet; the port of each. Raises LifecycleError, then none is opened."""
        opened: dict[ListenAddress, ListenGroup] = {}
        ports: dict[ListenAddress, int] = {}
        try:
            for listen in addresses:
                group = self._groups.get(listen) or opened.get(listen)
                if group is None:
                    group = opened[listen] = ListenGroup(open_listen_sockets(*listen))
                ports[listen] = group.port
        except BaseException:
            for group in opened.values():
                for sock in (*group.sockets.udp, *group.sockets.tcp):
                    sock.close()
            raise
        self._groups.update(opened)
        return ports

    async def serve(self, engines: Mapping[ListenAddress, Engine]) -> None:
        """Give each address its engine."""
        for listen, engine in engines.items():
            await self._groups[listen].serve(engine)

    async def close_others(self, keep: Iterable[ListenAddress]) -> None:
        """Close the addresses that are not in ``keep``."""
        kept = set(keep)
        others = [self._groups.pop(listen) for listen in list(self._groups) if listen not in kept]
        self._packets_before += sum(group.packets for group in others)
        await asyncio.gather(*(group.close(DRAIN_SECONDS) for group in others))

    async def close(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Close all."""
        groups, self._groups = list(self._groups.values()), {}
        await asyncio.gather(*(group.close(drain_seconds) for group in groups))
