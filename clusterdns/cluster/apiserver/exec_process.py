# SPDX-License-Identifier: Apache-2.0
"""The process that makes credentials of a kubeconfig's ``exec`` or ``auth-provider``, and exits.

``python exec_process.py KUBECONFIG CONTEXT`` prints a JSON object: ``token``, or ``certificate`` and ``key`` (PEM), and
``expires`` (RFC 3339) where that is known. A fault is the last line on standard error, with exit code 1.

The kubernetes library does the work. It takes much memory and time, which is why it is loaded here and nowhere else.
Nothing of clusterdns is imported.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

NOT_INSTALLED = 3
"""The exit code where the library isn't there."""

_FIELDS = {
    "token": "token",
    "certificate": "clientCertificateData",
    "key": "clientKeyData",
    "expires": "expirationTimestamp",
}


def make(path: str, context: str) -> dict[str, str]:
    """The credentials. Raises what the library raises."""
    from kubernetes import client
    from kubernetes.config import kube_config
    from kubernetes.config.exec_provider import ExecProvider

    config: Any = kube_config.KubeConfigMerger(path).config
    chosen = config["contexts"].get_with_name(context)["context"]
    user = config["users"].get_with_name(chosen["user"])["user"]
    if "exec" in user:
        cluster = config["clusters"].get_with_name(chosen["cluster"])["cluster"]
        status = ExecProvider(user["exec"], os.path.dirname(os.path.abspath(path)), cluster).run()
        return {name: status[field] for name, field in _FIELDS.items() if status.get(field)}
    found = client.Configuration()
    kube_config.load_kube_config(path, context, found)
    header = found.api_key.get("BearerToken") or found.api_key.get("authorization", "")  # by the library's version
    return {"token": header.removeprefix("Bearer ")}


def main(arguments: list[str]) -> int:
    """Print the credentials; the exit code."""
    try:
        import kubernetes  # noqa: F401
    except ImportError as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED
    try:
        print(json.dumps(make(*arguments)))
    except Exception as error:
        print(" ".join(f"{error}".split()) or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
