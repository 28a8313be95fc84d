# SPDX-License-Identifier: Apache-2.0
"""Which Pods a Service's selector selects, and which Services select a Pod, without looking at all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from clusterdns.cluster.objects import Key
from clusterdns.cluster.selectors import selects

_Pair: TypeAlias = tuple[str, str, str]
"""Namespace, and key and value of a label."""

_NOTHING: frozenset[Key] = frozenset()


class Matching:
    """Pods by each of their labels, Services by one pair of their selector."""

    def __init__(self) -> None:
        self._labels: dict[Key, Mapping[str, str]] = {}
        self._selectors: dict[Key, Mapping[str, str]] = {}
        self._pods: dict[_Pair, set[Key]] = {}
        self._services: dict[_Pair, set[Key]] = {}

    def set_pod(self, key: Key, labels: Mapping[str, str]) -> None:
        """The Pod has these labels now; none for a Pod that is gone."""
        for pair in self._labels.pop(key, {}).items():
            _discard(self._pods, (key[0], *pair), key)
        if labels:
            self._labels[key] = labels
            for pair in labels.items():
                self._pods.setdefault((key[0], *pair), set()).add(key)

    def set_service(self, key: Key, selector: Mapping[str, str]) -> None:
        """The Service has this selector now; none for one without, or one that is gone."""
        if old := self._selectors.pop(key, None):
            _discard(self._services, (key[0], *min(old.items())), key)
        if selector:
            self._selectors[key] = selector
            self._services.setdefault((key[0], *min(selector.items())), set()).add(key)

    def pods_of(self, service: Key) -> Iterator[Key]:
        """The Pods that the Service selects, in no order."""
        selector = self._selectors.get(service)
        if not selector:
            return
        candidates = min((self._pods.get((service[0], *pair), _NOTHING) for pair in selector.items()), key=len)
        for key in candidates:
            if selects(selector, self._labels[key]):
                yield key

    def services_of(self, pod: Key) -> Iterator[Key]:
        """The Services that select the Pod, in no order."""
        labels = self._labels.get(pod, {})
        for pair in labels.items():
            for key in self._services.get((pod[0], *pair), _NOTHING):
                if selects(self._selectors[key], labels):
                    yield key


def _discard(index: dict[_Pair, set[Key]], pair: _Pair, key: Key) -> None:
    keys = index[pair]
    keys.discard(key)
    if not keys:
        del index[pair]
