# SPDX-License-Identifier: Apache-2.0
"""What a server block gives to its plugins: the implementation of ``serving.capabilities.Setup``."""

from __future__ import annotations

import os
from collections.abc import Callable

from clusterdns.config.plan import BlockPlan
from clusterdns.dns import names
from clusterdns.serving.capabilities import Services
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query

ListenAddress = tuple[str, int]
"""Address (empty for all) and port."""


def server_label(listen: ListenAddress) -> str:
    """The label ``server`` of the metrics: ``dns://:53``, ``dns://127.0.0.1:53``, ``dns://[::1]:53``."""
    address, port = listen
    return f"dns://[{address}]:{port}" if ":" in address else f"dns://{address}:{port}"


class BlockSetup:
    """See Setup.

    listen: with the ports that were taken where the Corefile asks for port 0.
    publish: forgets remembered replies of all listeners of the block.
    """

    def __init__(
        self,
        plan: BlockPlan,
        services: Services,
        *,
        listen: tuple[ListenAddress, ...],
        directory: str,
        publish: Callable[[], None],
    ) -> None:
        self.zones = tuple(names.from_text(zone) for zone in plan.zones)
        self.services = services
        self.listen = listen
        self.server = server_label(listen[0]) if listen else ""
        self.directory = directory
        root = plan.directive("root")
        self.root = str(getattr(root.options, "path", "")) if root is not None else ""
        self.debug = plan.directive("debug") is not None
        view = plan.directive("view")
        self.view = str(getattr(view.options, "name", "")) if view is not None else ""
        self.siblings: dict[str, Plugin] = {}
        self._publish = publish

    def resolve(self, query: Query, name: bytes, qtype: int) -> Result:
        """See Setup."""
        return query.resolve(query, name, qtype)

    def publish(self) -> None:
        """See Setup."""
        self._publish()

    def path(self, argument: str) -> str:
        """See Setup."""
        return os.path.normpath(os.path.join(self.root or ".", argument))
