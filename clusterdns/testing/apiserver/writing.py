# SPDX-License-Identifier: Apache-2.0
"""Objects written over HTTP: POST, PUT, PATCH and DELETE, as kubectl and scripts send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from clusterdns.testing.apiserver.resources import Target
from clusterdns.testing.apiserver.selection import Selection
from clusterdns.testing.apiserver.statuses import ApiStatus, bad_request
from clusterdns.testing.apiserver.storage import Storage

VERBS: Mapping[str, str] = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
MERGE_TYPES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml")
JSON_PATCH = "application/json-patch+json"


def write(
    storage: Storage, method: str, target: Target, body: bytes, content_type: str, query: Mapping[str, str]
) -> tuple[int, bytes]:
    """Do it; the HTTP status and the body of the answer. Raises ApiStatus.

    Patches: merge patches; strategic ones and applies too, in which a list replaces the whole list; JSON patches with
    add, replace and remove of members of objects.
    """
    if query.get("dryRun"):
        raise bad_request("dry runs are not supported by this server")
    if method == "DELETE":
        return 200, _delete(storage, target, query)
    value = _decode(body)
    if method == "PATCH":
        return _patch(storage, target, value, content_type.partition(";")[0].strip())
    found = _addressed(target, value)
    if method == "PUT":
        return 200, storage.update(found).whole
    return 201, storage.create(found).whole


def merge(value: object, patch: object) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    found = dict(value) if isinstance(value, dict) else {}
    for key, part in patch.items():
        if part is None:
            found.pop(key, None)
        else:
            found[key] = merge(found.get(key), part)
    return found


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from None


def _addressed(target: Target, value: object) -> dict[str, Any]:
    """The object with the kind, namespace and name of the path."""
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized: it must be an object")
    resource = target.resource
    for key, expected in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        if value.get(key) not in (None, expected):
            raise bad_request(f"the {key} in the data ({value[key]}) does not match the expected {expected}")
    metadata = dict(value.get("metadata") or {})
    for key, named in (("namespace", target.namespace), ("name", target.name)):
        if named and metadata.setdefault(key, named) != named:
            raise bad_request(f"the {key} of the provided object does not match the {key} sent on the request")
    return {**value, "kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}


def _patch(storage: Storage, target: Target, patch: object, content_type: str) -> tuple[int, bytes]:
    if content_type not in (*MERGE_TYPES, JSON_PATCH):
        raise ApiStatus(
            415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {content_type}"
        )
    try:
        old = storage.get(target.resource, target.namespace, target.name).decode()
    except ApiStatus:
        if content_type != "application/apply-patch+yaml":
            raise
        return 201, storage.create(_addressed(target, patch)).whole
    found = _json_patch(old, patch) if content_type == JSON_PATCH else merge(old, patch)
    if not (isinstance(patch, dict) and (patch.get("metadata") or {}).get("resourceVersion")):
        found["metadata"].pop("resourceVersion", None)
    return 200, storage.update(_addressed(target, found)).whole


def _json_patch(value: dict[str, Any], operations: object) -> dict[str, Any]:
    """RFC 6902, as far as it is about members of objects."""
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    for operation in operations:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place: Any = value
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        key: Any = int(last) if isinstance(place, list) else last
        match operation["op"]:
            case "add" | "replace":
                place[key] = operation["value"]
            case "remove":
                del place[key]
            case other:
                raise bad_request(f"operation {other!r} of JSON patches is not supported by this server")
    return value


def _delete(storage: Storage, target: Target, query: Mapping[str, str]) -> bytes:
    if target.name:
        return storage.delete(target.resource, target.name, target.namespace).whole
    selection = Selection(target, query)
    for each in storage.ordered(target.resource, storage.revision):
        if selection(each):
            storage.delete(target.resource, each.key[1], each.key[0])
    return b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}'
