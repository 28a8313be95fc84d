# SPDX-License-Identifier: Apache-2.0
"""What proves who asks: the Authorization header and the TLS context of each request, as the files say just now.

Tokens of service accounts live for an hour and are replaced by the kubelet well before; authorities and certificates
rotate too. Files are looked at again every few seconds when a request goes out, and at once after a 401. What can't be
read then leaves the last good state, which is used on.
"""

from __future__ import annotations

import base64
import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from clusterdns.cluster.apiserver.access import Credentials, Made, Pem
from clusterdns.cluster.apiserver.trust import make_context
from clusterdns.errors import ApiError

if TYPE_CHECKING:
    from clusterdns.cluster.apiserver.exec import ExecCredentials

REREAD_SECONDS = 10.0

log = logging.getLogger("clusterdns.plugin.kubernetes")


class Signed(msgspec.Struct, frozen=True):
    """For one request. ``tls`` is None for plain HTTP."""

    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    made: Made | None


class Signer:
    """Signs the requests of one connection. Reads the files; raises ApiError for those that are of no use."""

    def __init__(self, credentials: Credentials, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._clock = clock
        self._secure = credentials.server.startswith("https:")
        self._token = credentials.token
        self._tls: ssl.SSLContext | None = None
        self._identity: tuple[object, ...] = ()  # of the files and certificates that _tls was made of
        self._program: ExecCredentials | None = None
        if credentials.program is not None:
            from clusterdns.cluster.apiserver.exec import ExecCredentials  # with processes, which few need

            self._program = ExecCredentials(credentials.program)
        self._reread(None)
        self._read_at = clock()

    async def sign(self) -> Signed:
        """Headers and context. Raises ApiError where a program makes no credentials."""
        made = await self._program.get() if self._program else None
        now = self._clock()
        if now - self._read_at >= REREAD_SECONDS or made is not None:
            self._reread(made)
            self._read_at = now
        return Signed(self._headers(made), self._tls, made)

    def _headers(self, made: Made | None) -> dict[str, str]:
        headers = dict(self._credentials.headers)
        token = made.token if made is not None else self._token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif self._credentials.username:
            pair = f"{self._credentials.username}:{self._credentials.password}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def renew(self, signed: Signed) -> bool:
        """The API server answered 401: True if there are other credentials to try."""
        if self._program is not None and signed.made is not None:
            return self._program.reject(signed.made)
        self._reread(None)  # what it was signed with is there, and stays if the files can't be read
        # Other requests may have been refused, and the files have been read, before this one.
        return self._headers(None) != signed.headers or self._tls is not signed.tls

    def _reread(self, made: Made | None) -> None:
        if self._credentials.token_file:
            self._read_token()
        if self._secure:
            self._read_tls(made)

    def _read_token(self) -> None:
        path = self._credentials.token_file
        try:
            with open(path, encoding="ascii") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            self._keep(f"open {path}: {reason.lower()}", usable=bool(self._token))
            return
        if token:
            self._token = token
        else:
            self._keep(f"{path} is empty", usable=bool(self._token))

    def _read_tls(self, made: Made | None) -> None:
        credentials = self._credentials
        certificate, key = credentials.certificate, credentials.key
        if made is not None and made.certificate:
            certificate, key = Pem(data=made.certificate), Pem(data=made.key)
        identity = tuple(_identity(each) for each in (credentials.authority, certificate, key))
        if self._tls is not None and identity == self._identity:
            return
        try:
            self._tls = make_context(credentials, certificate, key)
        except ApiError as error:
            self._keep(str(error), usable=self._tls is not None)
            return
        self._identity = identity

    def _keep(self, fault: str, *, usable: bool) -> None:
        """Go on with what there was, if there was anything."""
        if not usable:
            raise ApiError(fault)
        log.warning("%s; going on with what was read before", fault)


def _identity(pem: Pem) -> object:
    """What differs when the PEM has changed."""
    if not pem.file or pem.data:
        return pem.data
    try:
        found = os.stat(pem.file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
