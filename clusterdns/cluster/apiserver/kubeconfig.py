# SPDX-License-Identifier: Apache-2.0
"""kubeconfig files (v1 Config): one of their contexts as credentials.

Relative paths are relative to the folder of the file, and ``…-data`` counts before the file of the same name, as in
kubectl. Credentials of ``exec`` and ``auth-provider`` aren't made here; see ``exec.py``.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Any, NoReturn, TypeVar

import msgspec

from clusterdns.cluster.apiserver.access import CredentialProgram, Credentials, Pem, server_url
from clusterdns.cluster.raw import keys_of
from clusterdns.errors import ApiError, ManifestError


class _Cluster(msgspec.Struct, rename="kebab"):
    server: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    proxy_url: str | None = None


class _Exec(msgspec.Struct):
    command: str | None = None


class _AuthProvider(msgspec.Struct):
    name: str | None = None


class _User(msgspec.Struct, rename="kebab"):
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    username: str | None = None
    password: str | None = None
    impersonate: str | None = msgspec.field(default=None, name="as")
    impersonate_uid: str | None = msgspec.field(default=None, name="as-uid")
    impersonate_groups: list[str] | None = msgspec.field(default=None, name="as-groups")
    exec: _Exec | None = None
    auth_provider: _AuthProvider | None = None


class _Context(msgspec.Struct):
    cluster: str | None = None
    user: str | None = None


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct):
    name: str
    user: _User | None = None


class _NamedContext(msgspec.Struct):
    name: str
    context: _Context


class _Config(msgspec.Struct, rename="kebab"):
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None
    current_context: str | None = None


_Named = TypeVar("_Named", _NamedCluster, _NamedUser, _NamedContext)


def read_kubeconfig(path: str, context: str = "") -> Credentials:
    """The credentials of a context, the file's current one if it is empty. Raises ApiError, with the path."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ApiError(f"stat {path}: {(error.strerror or '').lower()}") from None
    return _Reading(path, _decode(path, data)).credentials(context)


def _decode(path: str, data: bytes) -> _Config:
    from clusterdns.cluster.manifests.yamltext import read_documents

    try:
        documents = [document.value for document in read_documents(data, keys_of(_Config))]
        if len(documents) != 1 or not isinstance(documents[0], dict):
            raise ApiError(f"{path}: is no kubeconfig", "it must be one YAML or JSON document of kind Config")
        return msgspec.convert(documents[0], _Config)
    except ManifestError as error:
        raise ApiError(f"{path}:{error.line}: {error.reason}") from None
    except msgspec.ValidationError as error:
        raise ApiError(f"{path}: {error}") from None


class _Reading:
    """One file, with what its errors begin with."""

    def __init__(self, path: str, config: _Config) -> None:
        self._path = path
        self._folder = os.path.dirname(os.path.abspath(path))
        self._config = config

    def credentials(self, wanted: str) -> Credentials:
        config = self._config
        name = wanted or config.current_context or ""
        if not name:
            self._fail("current-context is not set", "name a context behind the file, or set it")
        context = self._find("context", name, config.contexts).context
        if not context.cluster:
            self._fail(f"context {name!r} names no cluster")
        cluster = self._find("cluster", context.cluster, config.clusters).cluster
        user = (self._find("user", context.user, config.users).user if context.user else None) or _User()
        return self._combine(name, context.cluster, cluster, user)

    def _combine(self, context: str, name: str, cluster: _Cluster, user: _User) -> Credentials:
        if not cluster.server:
            self._fail(f"cluster {name!r} has no server")
        if cluster.proxy_url and cluster.proxy_url.partition("://")[0] not in ("http", "https"):
            self._fail(f"proxy-url {cluster.proxy_url!r} is not supported", "use an http or https proxy")
        authority = self._pem(
            "certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data
        )
        certificate = self._pem("client-certificate", user.client_certificate, user.client_certificate_data)
        key = self._pem("client-key", user.client_key, user.client_key_data)
        if bool(certificate) != bool(key):
            self._fail("client-certificate and client-key must be given together")
        return Credentials(
            server_url(cluster.server, secure=bool(authority or certificate)),
            f"{self._path}, context {context}",
            authority=authority,
            insecure=bool(cluster.insecure_skip_tls_verify),
            server_name=cluster.tls_server_name or "",
            certificate=certificate,
            key=key,
            token=user.token or "",
            token_file=self._resolve(user.token_file),
            username=user.username or "",
            password=user.password or "",
            proxy=cluster.proxy_url or "",
            headers=_impersonation(user),
            program=self._program(context, user),
        )

    def _program(self, context: str, user: _User) -> CredentialProgram | None:
        if user.token or user.token_file:
            return None
        if user.exec is not None:
            if not user.exec.command:
                self._fail("exec has no command")
            return CredentialProgram(self._path, context, f"exec {user.exec.command}")
        if user.auth_provider is not None:
            return CredentialProgram(self._path, context, f"auth-provider {user.auth_provider.name}")
        return None

    def _pem(self, field: str, path: str | None, data: str | None) -> Pem:
        if not data:
            return Pem(self._resolve(path))
        try:
            text = base64.b64decode("".join(data.split()), validate=True).decode("ascii", "ignore")
        except binascii.Error:
            text = ""
        if "-----BEGIN " not in text:
            self._fail(f"{field}-data is not PEM in base64")
        return Pem(data=text)  # what isn't ASCII is in comments

    def _resolve(self, path: str | None) -> str:
        return os.path.join(self._folder, path) if path else ""

    def _find(self, kind: str, name: str, entries: list[_Named] | None) -> _Named:
        for each in entries or ():
            if each.name == name:
                return each
        names = ", ".join(each.name for each in entries or ())
        return self._fail(f'{kind} "{name}" does not exist', f"there are: {names}" if names else "")

    def _fail(self, reason: str, hint: str = "") -> NoReturn:
        raise ApiError(f"{self._path}: {reason}", hint)


def _impersonation(user: _User) -> tuple[tuple[str, str], ...]:
    named: list[tuple[str, Any]] = [("Impersonate-User", user.impersonate), ("Impersonate-Uid", user.impersonate_uid)]
    named += [("Impersonate-Group", group) for group in user.impersonate_groups or ()]
    return tuple((name, value) for name, value in named if value)
