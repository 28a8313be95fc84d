# SPDX-License-Identifier: Apache-2.0
"""The upstreams of the process: each is there once, however many server blocks name it, and lives over a reload."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path
from weakref import WeakKeyDictionary

import msgspec

from clusterdns.errors import UpstreamError
from clusterdns.serving.capabilities import Services
from clusterdns.upstream.address import TLS, Endpoint
from clusterdns.upstream.deadlines import Deadlines
from clusterdns.upstream.health import Health, HealthCheck
from clusterdns.upstream.metrics import ForwardMetrics
from clusterdns.upstream.receiver import Receiver, descriptor_allowance
from clusterdns.upstream.server import Server, SocketOptions, TlsFiles

_ServerKey = tuple[Endpoint, SocketOptions]
_HealthKey = tuple[Endpoint, str, TlsFiles]


class Upstreams:
    """See ``upstreams_of``."""

    def __init__(self, services: Services) -> None:
        self.metrics = ForwardMetrics(services.metrics)
        self._allowance = descriptor_allowance()
        self._servers: dict[_ServerKey, Server] = {}
        self._users: dict[_ServerKey, int] = {}
        self._healths: dict[_HealthKey, Health] = {}
        self._receiver: Receiver | None = None
        self._deadlines: Deadlines | None = None

    def acquire(self, endpoint: Endpoint, options: SocketOptions, check: HealthCheck) -> Server:
        """The upstream, to be released with the same check. Raises UpstreamError for bad TLS files or addresses."""
        key = (endpoint, options)
        server = self._servers.get(key)
        if server is None:
            server = self._servers[key] = self._open(endpoint, options)
            self._users[key] = 0
        self._users[key] += 1
        server.health.join(check, server.probe)
        return server

    def _open(self, endpoint: Endpoint, options: SocketOptions) -> Server:
        loop = asyncio.get_running_loop()
        context = tls_context(options.tls) if endpoint.transport == TLS else None
        if self._receiver is None or self._deadlines is None:
            self._receiver, self._deadlines = Receiver(loop), Deadlines(loop)
        health_key = _health_key(endpoint, options)
        health = self._healths.get(health_key) or Health(self.metrics.failures(str(endpoint)))
        try:
            server = Server(
                endpoint,
                options,
                health,
                self.metrics,
                loop=loop,
                receiver=self._receiver,
                allowance=self._allowance,
                deadlines=self._deadlines,
                context=context,
            )
        except OSError as error:
            raise UpstreamError(f"{endpoint}: {error.strerror or error}") from None
        self._healths[health_key] = health
        return server

    async def release(self, server: Server, check: HealthCheck) -> None:
        """Give an upstream back; the last one to do so closes its sockets."""
        key = (server.endpoint, server.options)
        idle = server.health.leave(check, server.probe)
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key], self._servers[key]
            try:
                if idle:
                    del self._healths[_health_key(*key)]
                    await server.health.close()
            finally:
                await server.close()
        if not self._servers and self._receiver is not None and self._deadlines is not None:
            self._receiver.close()
            self._deadlines.close()
            self._receiver = self._deadlines = None


def _health_key(endpoint: Endpoint, options: SocketOptions) -> _HealthKey:
    return endpoint, options.source, options.tls


_processes: WeakKeyDictionary[Services, Upstreams] = WeakKeyDictionary()


def upstreams_of(services: Services) -> Upstreams:
    """The upstreams of a process (there are several in tests)."""
    upstreams = _processes.get(services)
    if upstreams is None:
        upstreams = _processes[services] = Upstreams(services)
    return upstreams


def read_tls_files(files: TlsFiles) -> TlsFiles:
    """The same files with the digest of their contents. Raises UpstreamError."""
    digest = hashlib.sha256()
    for path in (files.authorities, files.certificate, files.key):
        try:
            content = Path(path).read_bytes() if path else b""
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UpstreamError(f"error reading {path}: open {path}: {reason}") from None
        digest.update(hashlib.sha256(content).digest())
    return msgspec.structs.replace(files, digest=digest.hexdigest())


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or later, with the server's certificate and name verified. Raises UpstreamError."""
    path = files.authorities
    try:
        context = ssl.create_default_context(cafile=path or None)
        path = files.certificate
        if path:
            context.load_cert_chain(path, files.key)
    except (ssl.SSLError, OSError) as error:
        raise UpstreamError(f"error reading {path}: {getattr(error, 'reason', None) or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
