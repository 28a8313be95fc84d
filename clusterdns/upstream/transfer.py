# SPDX-License-Identifier: Apache-2.0
"""Fetching zones from their primary servers, and telling secondary ones of new versions."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from clusterdns.config.directive import Token
from clusterdns.dns.types import AXFR, SOA
from clusterdns.errors import ConfigError, MasterFileError, UpstreamError
from clusterdns.upstream.address import Endpoint, parse_resolver
from clusterdns.upstream.ports import error_text
from clusterdns.zone.transfer import TransferReader, check_reply, encode_notify, encode_question, read_serial
from clusterdns.zone.tree import Zone, ZoneBuilder

CONNECT_SECONDS: Final = 5.0
MESSAGE_SECONDS: Final = 10.0
"""For each message of a reply."""

TRANSFER_SECONDS: Final = 3600.0
"""For a whole transfer."""

NOTIFY_SECONDS: Final = (2.0, 4.0, 8.0)
"""How long the attempts of a NOTIFY wait for its reply."""

_RECORDS_IN_A_TURN: Final = 200


def read_server(token: Token) -> Endpoint:
    """A server written as ``IP`` or ``IP:PORT``. Raises ConfigError in CoreDNS's words."""
    try:
        return parse_resolver(token.text)
    except UpstreamError:
        raise token.error(f"must specify an IP address: `{token.text}'", label=ConfigError.NO_POSITION) from None


async def fetch_serial(zone: bytes, primary: Endpoint) -> int:
    """The serial number of a zone at a primary server, asked over TCP, which is hard to forge. Raises UpstreamError."""
    message_id = secrets.randbits(16)
    async with _asked(primary, encode_question(message_id, zone, SOA)) as replies:
        return read_serial(await _message(replies), message_id, zone)


async def fetch_zone(zone: bytes, primary: Endpoint) -> Zone:
    """The zone as a primary server has it (AXFR). Raises UpstreamError."""
    message_id = secrets.randbits(16)
    reader = TransferReader(zone, message_id)
    builder = ZoneBuilder(zone)
    count = 0
    try:
        async with asyncio.timeout(TRANSFER_SECONDS):
            async with _asked(primary, encode_question(message_id, zone, AXFR)) as replies:
                while not reader.done:
                    for record in reader.read(await _message(replies)):
                        builder.add(record)
                        count += 1
                        if count % _RECORDS_IN_A_TURN == 0:
                            await asyncio.sleep(0)
        return builder.finish()
    except TimeoutError:
        raise UpstreamError(f"the transfer took more than {TRANSFER_SECONDS:.0f} s") from None
    except MasterFileError as error:
        raise UpstreamError(str(error)) from None


@asynccontextmanager
async def _asked(primary: Endpoint, query: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which the query was sent, with its errors turned into UpstreamError."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            replies, writer = await asyncio.open_connection(primary.host, primary.port)
        writer.write(len(query).to_bytes(2, "big") + query)
        yield replies
    except TimeoutError:
        raise UpstreamError(f"dial tcp {primary}: i/o timeout") from None
    except OSError as error:
        raise UpstreamError(f"dial tcp {primary}: {error_text(error)}") from None
    finally:
        if writer is not None:
            writer.transport.abort()


async def _message(replies: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(MESSAGE_SECONDS):
            size = int.from_bytes(await replies.readexactly(2), "big")
            return await replies.readexactly(size)
    except TimeoutError:
        raise UpstreamError(f"no message for {MESSAGE_SECONDS:.0f} s") from None
    except asyncio.IncompleteReadError:
        raise UpstreamError("the connection was closed before the end") from None


async def send_notify(zone: bytes, secondary: Endpoint, source: str = "") -> None:
    """Tell a secondary server that a zone has changed, until it says that it knows. Raises UpstreamError.

    source: the address to send from, empty for any.
    """
    loop = asyncio.get_running_loop()
    failure = UpstreamError("i/o timeout")
    for seconds in NOTIFY_SECONDS:
        message_id = secrets.randbits(16)
        local = (source, 0) if source else None
        try:
            transport, exchange = await loop.create_datagram_endpoint(
                _Exchange, local_addr=local, remote_addr=(secondary.host, secondary.port)
            )
        except OSError as error:
            raise UpstreamError(error_text(error)) from None
        try:
            transport.sendto(encode_notify(message_id, zone))
            async with asyncio.timeout(seconds):
                check_reply(await exchange.reply(message_id), message_id)
            return
        except TimeoutError:
            failure = UpstreamError("i/o timeout")
        except OSError as error:
            failure = UpstreamError(error_text(error))
        except UpstreamError as error:
            failure = error
        finally:
            transport.close()
    raise failure


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the reply with a message ID."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[bytes | OSError] = asyncio.Queue(16)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._received.full():
            self._received.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError) and not self._received.full():
            self._received.put_nowait(exc)

    async def reply(self, message_id: int) -> bytes:
        while True:
            received = await self._received.get()
            if isinstance(received, OSError):
                raise received
            if received[:2] == message_id.to_bytes(2, "big"):
                return received
