# SPDX-License-Identifier: Apache-2.0
"""Where the API server is and how to prove who asks: the Pod's service account, ``endpoint`` and ``tls``, or a
kubeconfig.

This reads what is written; the files that are named in it are read when a connection needs them, again when they
rotate.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from clusterdns.cluster.apiserver.access import Credentials, Pem, server_url
from clusterdns.cluster.apiserver.options import ApiServerOptions
from clusterdns.errors import ApiError

ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where the kubelet puts the token and the CA of a Pod's service account."""


def load_credentials(
    options: ApiServerOptions, *, environ: Mapping[str, str] = os.environ, account_folder: str = ACCOUNT_FOLDER
) -> Credentials:
    """What the options name: a kubeconfig, else an endpoint, else the Pod's service account.

    Raises ApiError for what only the operator can mend: files that aren't there or can't be understood.
    """
    if options.kubeconfig:
        from clusterdns.cluster.apiserver.kubeconfig import read_kubeconfig  # with YAML, which few need

        return read_kubeconfig(options.kubeconfig, options.context)
    if options.endpoint:
        tls = options.tls
        return Credentials(
            server_url(options.endpoint, secure=tls is not None),
            "endpoint",
            authority=Pem(tls.authority) if tls else Pem(),
            certificate=Pem(tls.certificate) if tls else Pem(),
            key=Pem(tls.key) if tls else Pem(),
        )
    return _in_cluster(environ, account_folder)


def _in_cluster(environ: Mapping[str, str], folder: str) -> Credentials:
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ApiError(
            "unable to load in-cluster configuration, "
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined",
            "outside of a cluster use `kubeconfig`, `endpoint` or `manifests`",
        )
    token = f"{folder}/token"
    try:
        with open(token, "rb") as file:
            file.read(1)
    except OSError as error:
        raise ApiError(
            f"open {token}: {(error.strerror or '').lower()}",
            "the Pod needs a service account with automountServiceAccountToken",
        ) from None
    authority = f"{folder}/ca.crt"
    bracketed = f"[{host}]" if ":" in host else host
    return Credentials(
        f"https://{bracketed}:{port}",
        "the service account",
        authority=Pem(authority) if os.path.exists(authority) else Pem(),
        token_file=token,
    )
