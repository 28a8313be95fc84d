# SPDX-License-Identifier: Apache-2.0
"""TLS towards the API server: whom to trust, and as whom to come."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from clusterdns.cluster.apiserver.access import Credentials, Pem
from clusterdns.errors import ApiError

# Go's library, and so every other client of a cluster, doesn't ask for what Python 3.13 began to ask for, such as key
# identifiers in the authority's certificate; and it trusts an intermediate authority that it was given.
_STRICT = getattr(ssl, "VERIFY_X509_STRICT", 0)
_PARTIAL_CHAIN = getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0)


def make_context(credentials: Credentials, certificate: Pem | None = None, key: Pem | None = None) -> ssl.SSLContext:
    """The TLS side of the credentials; ``certificate`` and ``key`` of the client instead of theirs.

    Reads files. Raises ApiError, with their names, for what can't be read or is no PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags = (context.verify_flags & ~_STRICT) | _PARTIAL_CHAIN
    context.hostname_checks_common_name = False
    authority = credentials.authority
    if credentials.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority:
        try:
            context.load_verify_locations(cafile=authority.file or None, cadata=authority.data or None)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise _unreadable("the certificate authority", authority, error) from None
    else:
        context.load_default_certs()
    certificate, key = certificate or credentials.certificate, key or credentials.key
    if certificate:
        with _as_file(certificate) as certificate_file, _as_file(key) as key_file:
            try:
                context.load_cert_chain(certificate_file, key_file, password=_no_password)
            except (OSError, ValueError) as error:
                raise _unreadable("the client's certificate and key", certificate, error) from None
    return context


def _no_password() -> str:
    """Instead of a question on the terminal."""
    raise ValueError("the key is encrypted")


def _unreadable(what: str, pem: Pem, error: Exception) -> ApiError:
    place = f" {pem.file}" if pem.file and not pem.data else ""
    if isinstance(error, ssl.SSLError):
        return ApiError(f"{what}{place}: no usable PEM ({(error.reason or str(error)).replace('_', ' ').lower()})")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ApiError(f"{what}{place}: {reason.lower()}")


@contextmanager
def _as_file(pem: Pem) -> Iterator[str]:
    """A path under which the PEM can be read while the context is open: OpenSSL takes client keys only from files.

    Where it can, the file is in memory and has no name, as a key should, and a root file system may be read-only.
    """
    if not pem.data:
        yield pem.file
        return
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("clusterdns-pem"), "wb") as file:
            file.write(pem.data.encode())
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        import tempfile

        with tempfile.NamedTemporaryFile() as file:  # readable by its owner only
            file.write(pem.data.encode())
            file.flush()
            yield file.name
