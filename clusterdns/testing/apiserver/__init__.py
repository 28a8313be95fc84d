# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes API server for tests: it keeps objects, revisions and history, and goes wrong as it is told to.

``ApiServer`` is the server, ``Storage`` what it stands on, ``Settings`` how it is set up. ``python -m
clusterdns.testing.apiserver`` runs one with a generated cluster.

It behaves towards a watcher as kube-apiserver 1.36 does, in lists (pages, continue tokens, revisions, selectors, gzip,
metadata only), watches (bookmarks, streamed lists, 410 in its three shapes) and writes. There are no controllers:
EndpointSlices are what somebody writes, and a deleted Pod is gone at once.
"""

from clusterdns.testing.apiserver.access import Access
from clusterdns.testing.apiserver.faults import Ending, Fault
from clusterdns.testing.apiserver.generate import generate
from clusterdns.testing.apiserver.instance import Request, Settings
from clusterdns.testing.apiserver.resources import RESOURCES, Resource
from clusterdns.testing.apiserver.server import ApiServer, Tls
from clusterdns.testing.apiserver.statuses import ApiStatus
from clusterdns.testing.apiserver.storage import Snapshot, Storage

__all__ = [
    "RESOURCES",
    "Access",
    "ApiServer",
    "ApiStatus",
    "Ending",
    "Fault",
    "Request",
    "Resource",
    "Settings",
    "Snapshot",
    "Storage",
    "Tls",
    "generate",
]
