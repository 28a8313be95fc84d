# SPDX-License-Identifier: Apache-2.0
import asyncio
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from clusterdns.errors import LifecycleError
from clusterdns.transports import http
from clusterdns.transports.admin import AdminServers, open_listener

TEXT = "text/plain; charset=utf-8"


def says(text, status=200):
    return lambda request: (status, TEXT, text.encode())


def run(work):
    return asyncio.run(work)


async def get(url):
    return await asyncio.to_thread(_get, url)


def _get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_path_is_served_until_its_lease_is_released():
    async def work():
        servers = AdminServers()
        lease = await servers.acquire("127.0.0.1:0", "/health", says("OK"))
        assert await get(lease.url) == (200, "OK")
        assert (await get(lease.url + "z"))[0] == 404
        await lease.release()
        await lease.release()
        with pytest.raises(urllib.error.URLError, match="refused"):
            await get(lease.url)

    run(work())


def test_a_handler_gets_the_arguments_and_may_take_its_time():
    async def answer(request):
        await asyncio.sleep(0.01)
        return 200, TEXT, f"{request.path} {sorted(request.query.items())}".encode()

    async def work():
        servers = AdminServers()
        lease = await servers.acquire("127.0.0.1:0", "/late", answer)
        assert await get(lease.url + "?seconds=5&b=%20") == (200, "/late [('b', ' '), ('seconds', '5')]")
        await lease.release()

    run(work())


def test_the_newest_handler_of_a_path_answers():
    async def work():
        servers = AdminServers()
        old = await servers.acquire("127.0.0.1:0", "/ready", says("old"))
        new = await servers.acquire("127.0.0.1:0", "/ready", says("new", 503))
        assert old.url == new.url
        assert await get(old.url) == (503, "new")
        await new.release()
        assert await get(old.url) == (200, "old")
        newer = await servers.acquire("127.0.0.1:0", "/ready", says("newer"))
        await old.release()
        assert await get(newer.url) == (200, "newer")
        await newer.release()

    run(work())


def test_paths_share_an_address_and_it_opens_again_after_its_last():
    async def work():
        servers = AdminServers()
        health = await servers.acquire("127.0.0.1:0", "/health", says("H"))
        ready = await servers.acquire("127.0.0.1:0", "/ready", says("R"))
        await health.release()
        assert (await get(health.url))[0] == 404
        assert await get(ready.url) == (200, "R")
        await ready.release()
        again = await servers.acquire("127.0.0.1:0", "/ready", says("again"))
        assert await get(again.url) == (200, "again")
        await again.release()

    run(work())


def test_all_addresses_of_both_families_are_served():
    async def work():
        servers = AdminServers()
        lease = await servers.acquire(":0", "/health", says("OK"))
        port = lease.url.rpartition(":")[2].partition("/")[0]
        hosts = ["127.0.0.1", "127.0.0.2", *(["[::1]"] if _has_ipv6() else [])]
        for host in hosts:
            assert await get(f"http://{host}:{port}/health") == (200, "OK")
        await lease.release()

    run(work())


def test_a_machine_without_ipv6_is_served_on_ipv4(monkeypatch):
    def only_ipv4(family, *arguments, **keywords):
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *arguments, **keywords)

    real = socket.socket
    monkeypatch.setattr("clusterdns.transports.admin.socket.socket", only_ipv4)
    listener = run(open_listener("", 0))
    assert listener.getsockname()[0] == "0.0.0.0"
    listener.close()


def test_a_name_is_an_ipv4_address_if_it_can_be():
    listener = run(open_listener("localhost", 0))
    assert listener.family == socket.AF_INET
    listener.close()


def test_an_address_that_is_taken_is_an_error_that_names_it():
    async def work():
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = f"127.0.0.1:{other.getsockname()[1]}"
            servers = AdminServers()
            with pytest.raises(LifecycleError, match=f"listen tcp {address}: bind: address already in use"):
                await servers.acquire(address, "/health", says("OK"))
        lease = await servers.acquire(address, "/health", says("OK"))
        assert await get(lease.url) == (200, "OK")
        await lease.release()

    run(work())


def test_two_processes_may_share_an_address():
    async def work():
        first, second = AdminServers(), AdminServers()
        lease = await first.acquire("127.0.0.1:0", "/health", says("OK"))
        other = await second.acquire(lease.url.split("/")[2], "/health", says("OK"))
        assert other.url == lease.url
        await lease.release()
        assert await get(other.url) == (200, "OK")
        await other.release()

    run(work())


def test_an_unknown_host_is_an_error():
    async def work():
        with pytest.raises(LifecycleError, match="lookup nosuchhost"):
            await AdminServers().acquire("nosuchhost.invalid:0", "/health", says("OK"))

    run(work())


def test_handlers_see_lower_case_header_names_and_a_fault_is_a_500():
    async def work():
        servers = AdminServers()

        def accept(request):
            return 200, TEXT, request.headers["accept"].encode()

        def broken(request):
            raise ValueError("broken")

        lease = await servers.acquire("127.0.0.1:0", "/accept", accept)
        fault = await servers.acquire("127.0.0.1:0", "/broken", broken)
        request = urllib.request.Request(lease.url, headers={"ACCEPT": "a/b"})
        assert await get(request) == (200, "a/b")
        assert (await get(fault.url))[0] == 500
        await lease.release()
        await fault.release()

    run(work())


@pytest.mark.parametrize("sent", [b"\x00\xff\r\n\r\n", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n"])
def test_garbage_and_overlong_requests_are_refused(sent):
    async def work():
        lease = await AdminServers().acquire("127.0.0.1:0", "/health", says("OK"))
        reader, writer = await asyncio.open_connection(*lease.url.split("/")[2].split(":"))
        writer.write(sent)
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.0 400")
        writer.close()
        assert await get(lease.url) == (200, "OK")
        await lease.release()

    run(work())


def test_a_connection_that_asks_nothing_is_closed(monkeypatch):
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.05)

    async def work():
        lease = await AdminServers().acquire("127.0.0.1:0", "/health", says("OK"))
        reader, writer = await asyncio.open_connection(*lease.url.split("/")[2].split(":"))
        writer.write(b"GET /health HT")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await lease.release()

    run(work())


def test_the_connection_that_is_quiet_longest_makes_room_for_a_new_one(monkeypatch):
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 2)

    async def work():
        lease = await AdminServers().acquire("127.0.0.1:0", "/health", says("OK"))
        place = lease.url.split("/")[2].split(":")

        async def ask(reader, writer):
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\nOK"), 5)).startswith(b"HTTP/1.1 200")

        pairs = [await asyncio.open_connection(*place) for _ in range(2)]
        for pair in [*pairs, pairs[0]]:
            await ask(*pair)
        pairs.append(await asyncio.open_connection(*place))
        await ask(*pairs[2])
        assert await asyncio.wait_for(pairs[1][0].read(), 5) == b""
        await ask(*pairs[0])
        for _, writer in pairs:
            writer.close()
        await lease.release()

    run(work())


def test_aiohttp_is_imported_with_the_first_address_only():
    program = "import sys, clusterdns.transports.admin; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
