# SPDX-License-Identifier: Apache-2.0
"""Listening sockets for UDP and TCP on one address and port.

A wildcard is two sockets, 0.0.0.0 and [::] for IPv6 alone, so that a client is never seen as an IPv4-mapped IPv6
address; a machine without IPv6 gets the first one only. Every socket sets SO_REUSEPORT, as CoreDNS's do, so that a new
process can take over from an old one without a gap.
"""

from __future__ import annotations

import errno
import socket
import sys

from clusterdns.errors import LifecycleError

UDP_BUFFER_BYTES = 4 * 1024 * 1024
"""Kernel buffer of a UDP socket: takes a burst while a reload or a big change is worked on."""

TCP_BACKLOG = 1024
_PORT_TRIES = 20


_SO_MEMINFO = 55
_DROPS = 8
"""Which number of SO_MEMINFO says how often a datagram found no room (SK_MEMINFO_DROPS of linux/sock_diag.h)."""


class ListenSockets:
    """The sockets of one listen address. ``port`` is the one that was taken where 0 was asked for."""

    def __init__(self, udp: list[socket.socket], tcp: list[socket.socket], port: int) -> None:
        self.udp = udp
        self.tcp = tcp
        self.port = port


def open_listen_sockets(address: str, port: int) -> ListenSockets:
    """UDP and TCP sockets for ``address`` (empty: all) and ``port`` (0: one that is free for both).

    Raises LifecycleError.
    """
    for _ in range(_PORT_TRIES if port == 0 else 1):
        try:
            return _open(address, port)
        except OSError as error:
            last = error
            if port != 0 or error.errno != errno.EADDRINUSE:
                break
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    raise LifecycleError(f"listen {place}: {_reason(last, port)}") from last


def _reason(error: OSError, port: int) -> str:
    text = (error.strerror or str(error)).lower()
    if error.errno == errno.EACCES and 0 < port < 1024:
        return f"{text}: ports below 1024 need CAP_NET_BIND_SERVICE or root; or choose a higher port"
    if error.errno == errno.EADDRINUSE:
        return f"{text}: another program has this port; stop it, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{text}: no interface of this machine has it; see the bind directive"
    return text


def kernel_drops(sock: socket.socket) -> int:
    """How many datagrams the kernel has dropped in front of a UDP socket, modulo 2**32; 0 where it doesn't tell."""
    if sys.platform != "linux":
        return 0
    try:
        numbers = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_DROPS + 1))
    except OSError:  # a sandbox's kernel, or one before 4.12
        return 0
    return int.from_bytes(numbers[4 * _DROPS :], sys.byteorder)


def is_taken(address: str, port: int) -> bool:
    """True if a socket that insists on having the port for itself can't get it.

    Where there are sockets with SO_REUSEPORT, one more gets its part of the queries, and the others the rest.
    """
    if not port:
        return False
    for family, host in _families(address):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((host, port) if family == socket.AF_INET else _address6(host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return True
    return False


def _open(address: str, port: int) -> ListenSockets:
    opened: list[socket.socket] = []
    udp: list[socket.socket] = []
    tcp: list[socket.socket] = []
    try:
        for family, host in _families(address):
            for kind, sockets in ((socket.SOCK_DGRAM, udp), (socket.SOCK_STREAM, tcp)):
                sock = _socket(family, kind)
                opened.append(sock)
                try:
                    sock.bind((host, port) if family == socket.AF_INET else _address6(host, port))
                except OSError as error:
                    if family == socket.AF_INET6 and not address and error.errno == errno.EADDRNOTAVAIL:
                        continue
                    raise
                port = sock.getsockname()[1]
                if kind == socket.SOCK_STREAM:
                    sock.listen(TCP_BACKLOG)
                sockets.append(sock)
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return ListenSockets(udp, tcp, port)


def _families(address: str) -> list[tuple[socket.AddressFamily, str]]:
    if not address:
        families = [(socket.AF_INET, "0.0.0.0")]
        return [*families, (socket.AF_INET6, "::")] if has_ipv6() else families
    return [(socket.AF_INET6 if ":" in address else socket.AF_INET, address)]


def has_ipv6() -> bool:
    """True if this machine can open IPv6 sockets."""
    if not socket.has_ipv6:
        return False
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _address6(host: str, port: int) -> tuple[str, int, int, int]:
    """Host may carry a scope, ``fe80::1%eth0``."""
    host, _, scope = host.partition("%")
    return (host, port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope) if scope else 0)


def _socket(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_DGRAM:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, UDP_BUFFER_BYTES)
    return sock
