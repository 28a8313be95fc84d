# SPDX-License-Identifier: Apache-2.0
"""Metrics as plain numbers. Counting is an attribute increment; the text form is made when somebody scrapes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]


class Value:
    """A counter or gauge with one set of label values."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add to the value."""
        self.value += amount


class Histogram:
    """A histogram with one set of label values. ``counts`` has one more element than ``bounds``: the last is +Inf."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0

    def observe(self, value: float, count: int = 1) -> None:
        """Count ``count`` observations of ``value``; a bucket holds values up to and including its bound."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count


class Family:
    """All metrics of one name. ``children`` maps label values to Value or Histogram."""

    def __init__(
        self, kind: MetricKind, name: str, help_text: str, labels: tuple[str, ...], bounds: tuple[float, ...]
    ) -> None:
        self.kind: MetricKind = kind
        self.name = name
        self.help = help_text
        self.label_names = labels
        self.bounds = bounds
        self.children: dict[tuple[str, ...], Value | Histogram] = {}

    def clear(self) -> None:
        """Forget all label values."""
        self.children.clear()


class ValueFamily(Family):
    """A family of counters or gauges."""

    def labels(self, *values: str) -> Value:
        """The metric with these label values, made with 0 on first use."""
        child = self.children.get(values)
        if child is None:
            child = self.children[values] = Value()
        assert isinstance(child, Value)
        return child


class HistogramFamily(Family):
    """A family of histograms."""

    def labels(self, *values: str) -> Histogram:
        """The histogram with these label values, made empty on first use."""
        child = self.children.get(values)
        if child is None:
            child = self.children[values] = Histogram(self.bounds)
        assert isinstance(child, Histogram)
        return child


class Registry:
    """The metrics of one process. Names carry their full prefix; counters end in ``_total``.

    A family is made once: asking again for its name gives the same one, so that counts go on over a reload.
    """

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        self._collectors: dict[Callable[[], None], None] = {}

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> ValueFamily:
        """A family of counters; without labels it is exported as 0 from the start."""
        return self._value_family("counter", name, help_text, labels)

    def gauge(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> ValueFamily:
        """A family of gauges; without labels it is exported as 0 from the start."""
        return self._value_family("gauge", name, help_text, labels)

    def histogram(
        self, name: str, help_text: str, labels: tuple[str, ...] = (), *, bounds: tuple[float, ...]
    ) -> HistogramFamily:
        """A family of histograms with the upper bounds of its buckets, ascending, without +Inf."""
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = HistogramFamily("histogram", name, help_text, labels, bounds)
            if not labels:
                family.labels()
        assert isinstance(family, HistogramFamily)
        return family

    def _value_family(self, kind: MetricKind, name: str, help_text: str, labels: tuple[str, ...]) -> ValueFamily:
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = ValueFamily(kind, name, help_text, labels, ())
            if not labels:
                family.labels()
        assert isinstance(family, ValueFamily)
        return family

    def on_collect(self, collector: Callable[[], None]) -> Callable[[], None]:
        """Call ``collector`` before each scrape; the result takes it off again."""
        self._collectors[collector] = None
        return lambda: self._collectors.pop(collector, None)

    def collect(self) -> list[Family]:
        """All families, brought up to date, by name."""
        for collector in list(self._collectors):
            collector()
        return [self.families[name] for name in sorted(self.families)]
