# SPDX-License-Identifier: Apache-2.0
"""The server as a test holds it: start and stop, objects, and faults at command."""

from __future__ import annotations

import asyncio
import math
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from clusterdns.testing.apiserver.access import Access
from clusterdns.testing.apiserver.answering import Answering
from clusterdns.testing.apiserver.faults import Ending, Fault, Faults
from clusterdns.testing.apiserver.instance import MAX_REQUESTS, Instance, Request, Settings, Shared, open_listener
from clusterdns.testing.apiserver.statuses import ApiStatus
from clusterdns.testing.apiserver.storage import Storage

COMMAND_SECONDS = 30.0
THROTTLED = b"Too many requests, please try again later.\n"

T = TypeVar("T")


class Tls(msgspec.Struct, frozen=True):
    """Files in PEM form. With ``client_ca`` clients may come with a certificate that it has signed."""

    certificate: str
    key: str
    client_ca: str = ""


class ApiServer:
    """A Kubernetes API server on a thread of its own; its methods may be called from any thread.

    ::

        with ApiServer() as server:
            server.storage.create({"kind": "Service", "metadata": {"name": "web"}})
            ...                         # a client of server.url
            server.end_watches("torn")
            server.kill()
            server.start()              # on the same port, with the same storage

    storage: what it stands on; give one to several servers, and they are replicas.
    tokens: user by bearer token. Without tokens and client certificates everybody may do everything.
    settings: see ``Settings``.
    """

    def __init__(
        self,
        storage: Storage | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Tls | None = None,
        tokens: dict[str, str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.storage = storage or Storage()
        self.access = Access(tokens)
        self.faults = Faults()
        self.requests: deque[Request] = deque(maxlen=MAX_REQUESTS)
        """The last requests, oldest first."""
        self.host = host
        self.port = port
        self.tls = tls
        self.settings = settings or Settings()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._instance: Instance | None = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Life

    def start(self, *, forbidden_seconds: float = 0.0) -> None:
        """Listen and answer. Watches from before now are told 410, as their changes aren't in memory.

        forbidden_seconds: answer 403 for so long, as a real server does until it has read the roles.
        """
        if self._instance is not None:
            raise RuntimeError("the server runs already")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="apiserver", daemon=True)
            self._thread.start()
        self._instance = self._call(self._open(forbidden_seconds))

    def stop(self, *, linger_seconds: float = 0.0) -> None:
        """As on SIGTERM: the port refuses at once; open watches live on for so long (60 s on a real server), then end
        properly. Returns when that begins, or, without a time, when it is over.
        """
        instance = self._running()
        self._instance = None
        ending = instance.stop(linger_seconds)
        if linger_seconds:
            assert self._loop is not None
            asyncio.run_coroutine_threadsafe(ending, self._loop)
        else:
            self._call(ending)

    def kill(self, *, reset: bool = False) -> None:
        """As on SIGKILL: bodies end without their end; with ``reset`` by an RST."""
        instance = self._running()
        self._instance = None
        self._call(instance.kill(reset=reset))

    def close(self) -> None:
        """End the server and its thread. May be called at any time and again."""
        if self._instance is not None:
            self.kill()
        if self._loop is not None and self._thread is not None:
            self._call(_cancel_all())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(COMMAND_SECONDS)
            self._loop.close()
            self._loop = self._thread = None

    def hang(self) -> None:
        """As on SIGSTOP: the kernel accepts connections, and nothing is read or written."""
        self._do(lambda instance: instance.gate.clear())

    def resume(self) -> None:
        """As on SIGCONT: go on where it was."""
        self._do(lambda instance: instance.gate.set())

    # --- Being wrong

    def lag(self) -> None:
        """Hear of no more changes: lists with revision 0 and watches show the past; consistent lists don't."""
        self._do(lambda instance: instance.freeze(True))

    def catch_up(self) -> None:
        """Hear of all changes again."""
        self._do(lambda instance: instance.freeze(False))

    def lose_storage(self) -> None:
        """As when etcd is down: consistent reads and writes hang and are then cut; watches are silent; what is in
        memory is served on.
        """

        def lose(instance: Instance) -> None:
            instance.storage_lost = True
            instance.freeze(True)

        self._do(lose)

    def regain_storage(self) -> None:
        """The end of ``lose_storage``."""

        def regain(instance: Instance) -> None:
            instance.storage_lost = False
            instance.freeze(False)

        self._do(regain)

    def forget_history(self) -> None:
        """Watches from any revision before now are told 410 from now on."""

        def forget(instance: Instance) -> None:
            instance.oldest = self.storage.revision

        self._do(forget)

    def end_watches(self, how: Ending = "clean", resource: str = "") -> int:
        """End the open watches of a resource (plural; empty for all) in this way; how many there were."""
        return self._do(lambda instance: instance.end_watches(how, resource))

    def lose_events(self, count: int = 1, resource: str = "") -> None:
        """Keep the next events from every watch of the resource that is open now; bookmarks go on."""

        def lose(instance: Instance) -> None:
            for watcher in instance.watchers:
                if resource in ("", watcher.target.resource.plural):
                    watcher.lose += count

        self._do(lose)

    def send_line(self, line: bytes, resource: str = "") -> None:
        """Send a line of the test's own to the open watches of the resource; the line feed is added."""

        def send(instance: Instance) -> None:
            for watcher in instance.watchers:
                if resource in ("", watcher.target.resource.plural):
                    watcher.raw.append(line + b"\n")
                    watcher.wake.set()

        self._do(send)

    def fail(
        self, status: int, *, verb: str = "", resource: str = "", times: float = 1, retry_after: str | None = None
    ) -> None:
        """Answer the next requests with this status: 429 as text with Retry-After 1, others as a v1 Status."""
        if status == 429:
            fault = Fault(
                verb,
                resource,
                status=status,
                body=THROTTLED,
                content_type="text/plain; charset=utf-8",
                retry_after="1" if retry_after is None else retry_after,
            )
        else:
            body = ApiStatus(status, "InternalError", f"an error on the server ({status})").encode()
            fault = Fault(verb, resource, status=status, body=body, retry_after=retry_after or "")
        self.faults.add(fault, times)

    def cut(
        self, after_bytes: int, *, verb: str = "", resource: str = "", times: float = 1, reset: bool = False
    ) -> None:
        """End the next bodies after so many bytes, without their end."""
        self.faults.add(Fault(verb, resource, cut_after_bytes=after_bytes, reset=reset), times)

    def stall(self, after_bytes: int, *, verb: str = "", resource: str = "", times: float = 1) -> None:
        """Send nothing more after so many bytes of the next bodies, and keep the connections."""
        self.faults.add(Fault(verb, resource, stall_after_bytes=after_bytes), times)

    def delay(self, seconds: float, *, verb: str = "", resource: str = "", times: float = math.inf) -> None:
        """Answer the next requests so much later."""
        self.faults.add(Fault(verb, resource, delay_seconds=seconds), times)

    def when(self, action: Callable[[], object], *, verb: str = "", resource: str = "", after: int = 0) -> None:
        """Do something between two requests: when the next one comes, or the one ``after`` so many others, before it is
        answered. The action may change the storage and add faults; commands to the server itself would wait for ever.
        """
        if after:
            self.faults.add(Fault(verb, resource), after)
        self.faults.add(Fault(verb, resource, call=action), 1)

    def heal(self) -> None:
        """Take back what ``fail``, ``cut``, ``stall``, ``delay`` and ``when`` still have to do."""
        self.faults.clear()

    # --- Looking on

    def open_watches(self, resource: str = "") -> int:
        """How many watches of the resource are open."""
        return self._do(
            lambda instance: sum(resource in ("", each.target.resource.plural) for each in instance.watchers)
        )

    def asked(self, verb: str = "", resource: str = "") -> list[Request]:
        """The requests that came with this verb for this resource; empty is any."""
        return [each for each in list(self.requests) if verb in ("", each.verb) and resource in ("", each.resource)]

    def wait_until(self, condition: Callable[[ApiServer], bool], seconds: float = 10.0) -> None:
        """Wait until the condition holds, looking every 5 ms. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {seconds} s; the last requests: {list(self.requests)[-5:]}")
            time.sleep(0.005)

    # --- Across threads

    async def _open(self, forbidden_seconds: float) -> Instance:
        context = None
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.certificate, self.tls.key)
            if self.tls.client_ca:
                context.load_verify_locations(self.tls.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
                self.access.certificates = True
        listener = open_listener(self.host, self.port)
        self.port = listener.getsockname()[1]
        shared = Shared(self.storage, self.access, self.faults, self.settings, self.requests)
        instance = Instance(shared, forbidden_seconds=forbidden_seconds)
        http = web.Server(Answering(instance).handle, handler_cancellation=True, access_log=None, lingering_time=0)
        instance.listen(http, listener, context)
        return instance

    def _running(self) -> Instance:
        if self._instance is None:
            raise RuntimeError("the server doesn't run")
        return self._instance

    def _do(self, command: Callable[[Instance], T]) -> T:
        instance = self._running()

        async def run() -> T:
            return command(instance)

        return self._call(run())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(COMMAND_SECONDS)


async def _cancel_all() -> None:
    """End every other task of the loop."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
