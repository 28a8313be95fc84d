# SPDX-License-Identifier: Apache-2.0
"""What plugins know about a query, for others to ask by label: ``kubernetes/namespace``, ``forward/upstream`` …

A label is the name of a directive and a key. Nothing is computed before somebody asks, and a query of a block without
``metadata`` shares one object that knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from clusterdns.serving.query import Query


@runtime_checkable
class MetadataSource(Protocol):
    """A plugin that knows something about queries before they are answered."""

    def metadata(self, query: Query, key: str) -> str:
        """The value of its label ``NAME/key`` for a client's query, empty where there is none."""


class Metadata:
    """The labels of one query. This class knows none, and forgets what it is told."""

    __slots__ = ()

    def get(self, label: str) -> str:
        """The value of ``plugin/key``, empty where there is none."""
        return ""

    def set(self, label: str, value: str) -> None:
        """Tell the value of a label that is known only while the query is answered, such as ``forward/upstream``."""


NO_METADATA: Final = Metadata()


class QueryMetadata(Metadata):
    """The labels of a query whose block has ``metadata``.

    query: as the client sent it.
    sources: the plugins of the block that can be asked, by directive.
    """

    __slots__ = ("_query", "_sources", "_told")

    def __init__(self, query: Query, sources: Mapping[str, MetadataSource]) -> None:
        self._query = query
        self._sources = sources
        self._told: dict[str, str] = {}

    def get(self, label: str) -> str:
        """See Metadata."""
        told = self._told.get(label)
        if told is not None:
            return told
        name, _, key = label.partition("/")
        source = self._sources.get(name)
        return "" if source is None else source.metadata(self._query, key)

    def set(self, label: str, value: str) -> None:
        """See Metadata."""
        self._told[label] = value


def is_label(text: str) -> bool:
    """True for ``plugin/key``, both of at least one letter."""
    name, slash, key = text.partition("/")
    return bool(name and slash and key)
