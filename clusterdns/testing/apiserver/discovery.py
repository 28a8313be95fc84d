# SPDX-License-Identifier: Apache-2.0
"""What is served beside objects: versions, health, and which resources there are (what kubectl asks first)."""

from __future__ import annotations

from typing import Any

import msgspec

from clusterdns.testing.apiserver.resources import Resource

OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")
"""Paths that anybody may ask for."""

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-clusterdns-testing", "platform": "linux/amd64"}
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def describe(path: str, resources: tuple[Resource, ...]) -> bytes | None:
    """The answer to GET of a path that names no object; None for a path that isn't there."""
    if path in OPEN_PATHS and path != "/version":
        return b"ok"
    found = _document(path.rstrip("/"), resources)
    return None if found is None else msgspec.json.encode(found)


def _document(path: str, resources: tuple[Resource, ...]) -> dict[str, Any] | None:
    if path == "/version":
        return VERSION
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    groups = {each.group: each.version for each in resources if each.group}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*each) for each in groups.items()]}
    for name, version in groups.items():
        if path == f"/apis/{name}":
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, version)}
    here = [each for each in resources if each.root == path]
    if not here:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": here[0].api_version,
        "resources": [
            {
                "name": each.plural,
                "singularName": each.kind.lower(),
                "namespaced": each.namespaced,
                "kind": each.kind,
                "verbs": _VERBS,
                "shortNames": list(each.short_names),
            }
            for each in here
        ],
    }


def _group(name: str, version: str) -> dict[str, Any]:
    this = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [this], "preferredVersion": this}
