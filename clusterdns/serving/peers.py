# SPDX-License-Identifier: Apache-2.0
"""Plugins of one directive that work for the whole process, whichever server block they stand in.

``ready`` answers for all blocks, ``reload`` works once however often it is written. They find each other here: those of
all blocks, and during a reload those of the old and the new configuration.
"""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from clusterdns.serving.capabilities import Services

P = TypeVar("P")


class Peers(Generic[P]):
    """The started plugins of a directive, by process (there are several in tests)."""

    def __init__(self) -> None:
        self._started: WeakKeyDictionary[Services, list[P]] = WeakKeyDictionary()

    def join(self, services: Services, plugin: P) -> None:
        """The plugin starts."""
        self._started.setdefault(services, []).append(plugin)

    def leave(self, services: Services, plugin: P) -> None:
        """The plugin stops; no harm done if it never started."""
        plugins = self._started.get(services, [])
        if plugin in plugins:
            plugins.remove(plugin)

    def all(self, services: Services) -> tuple[P, ...]:
        """The started plugins, oldest first."""
        return tuple(self._started.get(services, ()))
