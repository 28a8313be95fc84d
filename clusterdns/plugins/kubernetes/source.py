# SPDX-License-Identifier: Apache-2.0
"""Where the ``kubernetes`` directive takes its cluster from: the options, CoreDNS's error texts, warnings."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from clusterdns.cluster.apiserver.options import ApiServerOptions, TlsFiles, WatchOptions
from clusterdns.cluster.items import DETAILS
from clusterdns.cluster.objects import Kind
from clusterdns.config.directive import DirectiveReader, Line, Token, parse_with
from clusterdns.errors import ConfigError
from clusterdns.expressions.duration import parse_duration
from clusterdns.expressions.numerals import atoi, parse_float
from clusterdns.serving.capabilities import ClusterLease, Setup

DEFAULT_SERVICE_CIDR: Final = "10.96.0.0/12"
_API_SERVER: Final = (
    *("endpoint", "tls", "kubeconfig", "apiserver_qps", "apiserver_burst", "apiserver_max_inflight"),
    *("startup_timeout", "resync", "snapshot"),
)


class SourceOptions(msgspec.Struct, frozen=True):
    """Either a directory of manifests or an API server.

    manifests: the directory, as written; empty for the API server.
    service_cidr: networks, joined by commas, from which Services in manifests get addresses.
    api_server: how it is reached.
    startup_timeout_seconds: how long the start waits for the cluster.
    resync_seconds: the mean time between comparisons with the API server, 0 for none.
    snapshot: path of the file that keeps the last state, as written; empty for none.
    snapshot_max_age_seconds: how old it may be to count as ready.
    """

    manifests: str = ""
    service_cidr: str = DEFAULT_SERVICE_CIDR
    api_server: ApiServerOptions = ApiServerOptions()
    startup_timeout_seconds: float = 5.0
    resync_seconds: float = 300.0
    snapshot: str = ""
    snapshot_max_age_seconds: float = 3600.0


class SourceReader:
    """Reads the options that are about the source; ``finish`` checks them together."""

    def __init__(self, reader: DirectiveReader) -> None:
        self.reader = reader
        self._fields: dict[str, Any] = {}
        self._api_server: dict[str, Any] = {}
        self._written: dict[str, Token] = {}

    def handlers(self) -> Mapping[str, Callable[[Line], None]]:
        """What reads each option."""
        read: dict[str, Callable[[Line], None]] = {
            "manifests": self._read_manifests,
            "service_cidr": self._read_service_cidr,
            "endpoint": self._read_endpoint,
            "tls": self._read_tls,
            "kubeconfig": self._read_kubeconfig,
            "apiserver_qps": partial(self._read_number, "qps", parse_float),
            "apiserver_burst": partial(self._read_number, "burst", atoi),
            "apiserver_max_inflight": partial(self._read_number, "max_inflight", atoi),
            "startup_timeout": partial(self._read_duration, "startup_timeout_seconds"),
            "resync": partial(self._read_duration, "resync_seconds"),
            "snapshot": self._read_snapshot,
        }
        return {name: partial(self._read, handler) for name, handler in read.items()}

    def finish(self) -> SourceOptions:
        """The options; warns of those that do nothing beside others."""
        if "manifests" in self._written:
            for name in _API_SERVER:
                if name in self._written:
                    self._warn(name, f"{name} does nothing beside manifests: the API server isn't asked")
        elif "service_cidr" in self._written:
            self._warn("service_cidr", "service_cidr does nothing without manifests: the API server gives addresses")
        if "kubeconfig" in self._written:
            for name in ("endpoint", "tls"):
                if name in self._written:
                    self._warn(name, f"{name} does nothing beside kubeconfig, which says where the API server is")
        elif "tls" in self._written and "endpoint" not in self._written:
            self._warn("tls", "tls does nothing without endpoint: in a cluster the service account's files are used")
        self._take_stand_in()
        return SourceOptions(api_server=ApiServerOptions(**self._api_server), **self._fields)

    def _take_stand_in(self) -> None:
        """Without a source, the cluster is the one that is given to the process in place of an API server."""
        directory = self.reader.block.manifests
        if directory and not self._written.keys() & {"manifests", "endpoint", "kubeconfig"}:
            self._fields["manifests"] = directory
            self.reader.warn(
                self.reader.lines[0].name,
                f"the cluster is what the manifests in {directory} say, not the API server",
                hint="this is for tests: leave out --manifests and CLUSTERDNS_MANIFESTS in a cluster",
            )

    def _warn(self, name: str, message: str) -> None:
        self.reader.warn(self._written[name], message, hint="remove one of the two")

    def _read(self, handler: Callable[[Line], None], line: Line) -> None:
        self._written[line.name.text] = line.name
        handler(line)

    def _read_manifests(self, line: Line) -> None:
        self._fields["manifests"] = line.expect(1)[0]

    def _read_service_cidr(self, line: Line) -> None:
        networks = [word for text in line.expect(1, 2) for word in text.split(",")]
        versions = []
        for word in networks:
            if "/" not in word:
                raise line.args[0].error(f"service_cidr takes networks, not addresses: {word}", hint="add its mask")
            try:
                versions.append(ipaddress.ip_network(word).version)
            except ValueError as error:
                raise line.args[0].error(f"invalid service_cidr: {error}", hint="for example 10.96.0.0/12") from None
        if len(set(versions)) < len(versions):
            raise line.args[0].error("service_cidr takes one network of each family")
        self._fields["service_cidr"] = ",".join(networks)

    def _read_endpoint(self, line: Line) -> None:
        if not line.args:
            raise line.wrong_count()
        url = line.words[0]
        if not _is_server(url):
            raise line.args[0].error(
                f"'{url}' is not the URL of an API server", hint="for example https://10.0.0.1:6443"
            )
        for token in line.args[1:]:
            self.reader.warn(
                token,
                "Multiple endpoints have been deprecated, only the first specified endpoint "
                f"'{url}' is used",
            )  # fmt: skip
        self._api_server["endpoint"] = url

    def _read_tls(self, line: Line) -> None:
        self._api_server["tls"] = TlsFiles(*line.expect(3))

    def _read_kubeconfig(self, line: Line) -> None:
        path, *context = line.expect(1, 2)
        self._api_server["kubeconfig"] = path
        self._api_server["context"] = context[0] if context else ""

    def _read_number(self, field: str, parse: Callable[[str], float], line: Line) -> None:
        (text,) = line.expect(1)
        name = line.name.text
        try:
            number = parse_with(line.args[0], parse)
        except ConfigError as error:
            raise line.args[0].error(f'invalid {name} "{text}": {error.message}') from None
        if not 0 <= number < float("inf"):
            raise line.args[0].error(f"{name} must be >= 0")
        self._api_server[field] = number

    def _duration(self, token: Token, name: str) -> float:
        try:
            seconds = parse_with(token, parse_duration)
        except ConfigError as error:
            raise token.error(
                f"failed to parse {name}: {token.text}, {error.message}", label=ConfigError.NO_POSITION
            ) from None
        if seconds < 0:
            raise token.error(f"{name} must be >= 0")
        return seconds

    def _read_duration(self, field: str, line: Line) -> None:
        line.expect(1)
        self._fields[field] = self._duration(line.args[0], line.name.text)

    def _read_snapshot(self, line: Line) -> None:
        self._fields["snapshot"] = line.expect(1, 2)[0]
        if len(line.args) > 1:
            self._fields["snapshot_max_age_seconds"] = self._duration(line.args[1], "the age of a snapshot")


async def lease_cluster(
    source: SourceOptions,
    setup: Setup,
    labels: str,
    namespace_labels: str,
    kinds: frozenset[Kind],
    *,
    pod_names: bool,
) -> ClusterLease:
    """The cluster of a source, of which these kinds are needed. Raises LifecycleError.

    labels, namespace_labels: selectors, empty for all.
    pod_names: True if the names of endpoints' Pods are needed; what other directives of the block need is known here.
    """
    clusters = setup.services.clusters
    if source.manifests:
        directory = setup.path(source.manifests)
        return await clusters.manifests(directory, source.service_cidr, labels, namespace_labels, kinds)
    watch = WatchOptions(
        server=source.api_server,
        labels=labels,
        namespace_labels=namespace_labels,
        resync_seconds=source.resync_seconds,
        snapshot=setup.path(source.snapshot) if source.snapshot else "",
        snapshot_max_age_seconds=source.snapshot_max_age_seconds,
        startup_timeout_seconds=source.startup_timeout_seconds,
    )
    wanted = {"pod_names": pod_names, "clients": "autopath" in setup.siblings, "labels": "metadata" in setup.siblings}
    return await clusters.api_server(watch, kinds, frozenset(detail for detail in DETAILS if wanted[detail]))


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        return False
