# SPDX-License-Identifier: Apache-2.0
"""Which objects a list or a watch is about: a namespace, a label selector, a field selector."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clusterdns.cluster.selectors import parse_selector
from clusterdns.errors import ExpressionError
from clusterdns.testing.apiserver.resources import Target
from clusterdns.testing.apiserver.statuses import bad_request
from clusterdns.testing.apiserver.stored import Stored


class Selection:
    """``everything`` is true where no selector applies, so that a list can tell how many remain."""

    def __init__(self, target: Target, query: Mapping[str, str]) -> None:
        self.namespace = target.namespace
        try:
            self._labels = parse_selector(query.get("labelSelector", ""))
        except ExpressionError as error:
            raise bad_request(f"unable to parse labelSelector: {error}") from None
        self._fields = _parse_fields(query.get("fieldSelector", ""), target)
        if target.name:
            self._fields.append(("metadata.name", True, target.name))
        self.everything = not self._labels.requirements and not self._fields

    def __call__(self, stored: Stored) -> bool:
        if self.namespace and stored.key[0] != self.namespace:
            return False
        if self.everything:
            return True
        return self._labels.matches(stored.labels) and all(
            (stored.fields[field] == value) is equal for field, equal, value in self._fields
        )


Selected = Callable[[Stored], bool]


def _parse_fields(text: str, target: Target) -> list[tuple[str, bool, str]]:
    """(field, whether it must be equal, value) of ``a=b,c!=d``."""
    found = []
    known = {"metadata.name", "metadata.namespace", *target.resource.fields}
    for term in filter(None, text.split(",")):
        for operator in ("!=", "==", "="):
            field, there, value = term.partition(operator)
            if there:
                break
        else:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        if field not in known:
            raise bad_request(f"field label not supported: {field}")
        found.append((field, operator != "!=", value))
    return found
