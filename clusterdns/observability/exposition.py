# SPDX-License-Identifier: Apache-2.0
"""Metrics as text, in the Prometheus text format 0.0.4 or in OpenMetrics 1.0 where the scraper asks for it.

A scrape runs between two batches of queries, so it has to be quick: the label part of a line is made once a metric and
kept with it, and a value is one conversion. prometheus_client takes some ten times as long for the same text.
"""

from __future__ import annotations

from itertools import accumulate

from clusterdns.observability.metrics import Family, Histogram, Registry, Value

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_LABEL_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})


def render(registry: Registry, accept: str = "") -> tuple[str, bytes]:
    """Content-Type and text of all metrics, in the form that an ``Accept`` header asks for."""
    openmetrics = _wants_openmetrics(accept)
    lines: list[str] = []
    for family in registry.collect():
        _render_family(family, openmetrics, lines)
    if openmetrics:
        lines.append("# EOF")
    text = "\n".join(lines) + "\n" if lines else ""
    return OPENMETRICS_TYPE if openmetrics else TEXT_TYPE, text.encode("utf-8", "replace")


def _wants_openmetrics(accept: str) -> bool:
    """True if the header names OpenMetrics with a weight of its own that is not below that of plain text."""
    weights = {"application/openmetrics-text": -1.0, "text/plain": -1.0}
    for choice in accept.lower().split(","):
        media, *parameters = [part.strip() for part in choice.split(";")]
        if media in weights:
            weights[media] = max(weights[media], _weight(parameters))
    openmetrics = weights["application/openmetrics-text"]
    return openmetrics > 0 and openmetrics >= weights["text/plain"]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _render_family(family: Family, openmetrics: bool, lines: list[str]) -> None:
    if not family.children:
        return
    name = family.name
    title = name.removesuffix("_total") if openmetrics and family.kind == "counter" else name
    help_text = family.help.translate(_LABEL_ESCAPES if openmetrics else _HELP_ESCAPES)
    lines.append(f"# HELP {title} {help_text}")
    lines.append(f"# TYPE {title} {family.kind}")
    bounds = [number_text(bound, openmetrics) for bound in family.bounds] + ["+Inf"]
    for values, child in list(family.children.items()):
        labels = ",".join(
            [
                f'{key}="{value.translate(_LABEL_ESCAPES)}"'
                for key, value in zip(family.label_names, values, strict=True)
            ]
        )
        if isinstance(child, Value):
            lines.append(
                f"{name}{{{labels}}} {number_text(child.value)}" if labels else f"{name} {number_text(child.value)}"
            )
        else:
            _render_histogram(name, labels, child, bounds, lines)


def _render_histogram(name: str, labels: str, child: Histogram, bounds: list[str], lines: list[str]) -> None:
    prefix = f"{name}_bucket{{{labels}," if labels else f"{name}_bucket{{"
    total = 0
    for bound, total in zip(bounds, accumulate(child.counts), strict=True):
        lines.append(f'{prefix}le="{bound}"}} {total}')
    suffix = f"{{{labels}}}" if labels else ""
    lines.append(f"{name}_sum{suffix} {number_text(child.sum)}")
    lines.append(f"{name}_count{suffix} {total}")


def number_text(value: float, as_float: bool = False) -> str:
    """A number as both formats write it; ``as_float`` keeps a decimal point, as OpenMetrics wants for bounds."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value)}.0" if as_float else str(int(value))
    return repr(float(value))
