# SPDX-License-Identifier: Apache-2.0
"""Where an API server is and what proves who asks, as values. Files are named here, and read when they are needed."""

from __future__ import annotations

import msgspec

from clusterdns.errors import ApiError


class Pem(msgspec.Struct, frozen=True):
    """Certificates or a key in PEM form: the path of a file, or the text itself, which counts first."""

    file: str = ""
    data: str = ""

    def __bool__(self) -> bool:
        return bool(self.file or self.data)


class CredentialProgram(msgspec.Struct, frozen=True):
    """Credentials that are made when they are needed: ``exec`` and ``auth-provider`` of the user of a kubeconfig's
    context. ``name`` is what to call it in an error.
    """

    kubeconfig: str
    context: str
    name: str


class Made(msgspec.Struct, frozen=True):
    """What such a program gave: a token, or a certificate and key in PEM form. ``expires`` is RFC 3339 or empty."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires: str = ""


class Credentials(msgspec.Struct, frozen=True):
    """All that a connection needs.

    server: URL, without a slash at its end; origin: what it was read from, for errors and the log.
    authority: signs the server's certificate; without, the system's authorities do. ``insecure`` trusts anybody.
    server_name: is in the server's certificate instead of the URL's host.
    token_file: counts before ``token`` as long as it can be read.
    proxy: URL of a proxy; empty for what the environment says.
    headers: more of them for each request (impersonation).
    """

    server: str
    origin: str
    authority: Pem = Pem()
    insecure: bool = False
    server_name: str = ""
    certificate: Pem = Pem()
    key: Pem = Pem()
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    proxy: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    program: CredentialProgram | None = None


def server_url(text: str, *, secure: bool) -> str:
    """A server as options and kubeconfigs write it → a URL; without a scheme it is https where ``secure``.

    Raises ApiError for another scheme than http and https.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = ("https" if secure else "http"), text
    if scheme.lower() not in ("http", "https") or not rest.strip("/"):
        raise ApiError(f"{text!r} is not the URL of an API server", "write https://ADDRESS:PORT")
    return f"{scheme.lower()}://{rest.rstrip('/')}"
