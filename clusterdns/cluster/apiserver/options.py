# SPDX-License-Identifier: Apache-2.0
"""Which API server to ask, as what, and how fast: the arguments of a connection as the Corefile gives them."""

from __future__ import annotations

import msgspec


class TlsFiles(msgspec.Struct, frozen=True):
    """Paths of PEM files: the client's certificate and key, and the authority that signed the server's."""

    certificate: str
    key: str
    authority: str


class ApiServerOptions(msgspec.Struct, frozen=True):
    """``kubeconfig`` counts before ``endpoint``; without both, the Pod's service account is used (in-cluster).

    endpoint: URL of the API server (``endpoint``).
    tls: for the endpoint (``tls``); None without.
    kubeconfig: path of a kubeconfig file; context: one of its contexts, empty for its current one (``kubeconfig``).
    qps, burst: requests per second, and how many may come at once (``apiserver_qps``, ``apiserver_burst``); 0 for the
        defaults of the connection.
    max_inflight: requests under way at a time, watches not counted (``apiserver_max_inflight``); 0 for no limit.
    """

    endpoint: str = ""
    tls: TlsFiles | None = None
    kubeconfig: str = ""
    context: str = ""
    qps: float = 0.0
    burst: int = 0
    max_inflight: int = 0


class WatchOptions(msgspec.Struct, frozen=True):
    """What is watched of an API server, and how. Equal ones share one set of watches.

    server: which one.
    labels: selector of Services, EndpointSlices and Pods; namespace_labels: of Namespaces; empty for all.
    resync_seconds: the mean time between comparisons of what is held with what the server has; 0 for none (``resync``).
    snapshot: path of the file that keeps the last state; empty for none (``snapshot``).
    snapshot_max_age_seconds: a state up to this age counts as ready while the server can't be reached.
    startup_timeout_seconds: how long the server may be out of reach before that.
    """

    server: ApiServerOptions = ApiServerOptions()
    labels: str = ""
    namespace_labels: str = ""
    resync_seconds: float = 300.0
    snapshot: str = ""
    snapshot_max_age_seconds: float = 3600.0
    startup_timeout_seconds: float = 5.0
