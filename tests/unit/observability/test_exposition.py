# SPDX-License-Identifier: Apache-2.0
import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from clusterdns.observability.exposition import OPENMETRICS_TYPE, TEXT_TYPE, number_text, render
from clusterdns.observability.metrics import Registry

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def both(registry):
    """The samples in both formats: name, labels, value."""
    _, text = render(registry)
    _, openmetrics = render(registry, OPENMETRICS)
    return [
        [(s.name, s.labels, s.value) for family in parse(data.decode()) for s in family.samples]
        for parse, data in ((parse_text, text), (parse_openmetrics, openmetrics))
    ]


def test_counters_gauges_and_histograms_are_read_back_from_both_formats():
    registry = Registry()
    registry.counter("a_total", "Count.").labels().inc(3)
    registry.gauge("b", "Now.", ("x",)).labels("y").value = 0.5
    histogram = registry.histogram("c_seconds", "Time.", ("z",), bounds=(0.25, 1, 4000)).labels("w")
    for value in (0.25, 0.3, 5000):
        histogram.observe(value)
    text, openmetrics = both(registry)
    assert text == [
        ("a_total", {}, 3),
        ("b", {"x": "y"}, 0.5),
        ("c_seconds_bucket", {"z": "w", "le": "0.25"}, 1),
        ("c_seconds_bucket", {"z": "w", "le": "1"}, 2),
        ("c_seconds_bucket", {"z": "w", "le": "4000"}, 2),
        ("c_seconds_bucket", {"z": "w", "le": "+Inf"}, 3),
        ("c_seconds_sum", {"z": "w"}, 5000.55),
        ("c_seconds_count", {"z": "w"}, 3),
    ]
    assert [(name, value) for name, _, value in openmetrics] == [(name, value) for name, _, value in text]
    assert [labels["le"] for _, labels, _ in openmetrics if "le" in labels] == ["0.25", "1.0", "4000.0", "+Inf"]


def test_the_text_is_that_of_the_format():
    registry = Registry()
    registry.counter("a_total", "Back\\slash\nand line.").labels()
    registry.histogram("h", "H.", bounds=(1,)).labels().observe(1)
    assert render(registry) == (
        TEXT_TYPE,
        b"# HELP a_total Back\\\\slash\\nand line.\n# TYPE a_total counter\na_total 0\n"
        b"# HELP h H.\n# TYPE h histogram\n"
        b'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    )
    content_type, body = render(registry, OPENMETRICS)
    assert content_type == OPENMETRICS_TYPE
    assert body.startswith(b"# HELP a Back\\\\slash\\nand line.\n# TYPE a counter\na_total 0\n")
    assert body.endswith(b"h_count 1\n# EOF\n")


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "\\n", '\\"', "", "ünï", "a,b{c}=d", "a\\\nb"])
def test_label_values_are_escaped(value):
    registry = Registry()
    registry.gauge("g", "G.", ("a", "b")).labels(value, "x").value = 1
    registry.histogram("h", "H.", ("a",), bounds=(1,)).labels(value)
    for samples in both(registry):
        assert {labels["a"] for _, labels, _ in samples} == {value}


def test_a_family_without_metrics_is_left_out():
    registry = Registry()
    registry.counter("a_total", "A.", ("x",))
    assert render(registry)[1] == b""
    assert render(registry, OPENMETRICS)[1] == b"# EOF\n"


def test_collectors_run_before():
    registry = Registry()
    gauge = registry.gauge("g", "G.").labels()

    def collect():
        gauge.value = 7

    registry.on_collect(collect)
    assert b"g 7\n" in render(registry)[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (5.0, "5"),
        (-1, "-1"),
        (0.1, "0.1"),
        (1e15, "1000000000000000.0"),
        (1e300, "1e+300"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers(value, text):
    assert number_text(value) == text
    assert math.isnan(value) or float(text) == value


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            True,
        ),
        ("application/openmetrics-text; q=0.2, text/plain; q=0.9", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        ("APPLICATION/OpenMetrics-Text", True),
    ],
)
def test_the_format_is_what_the_scraper_prefers(accept, openmetrics):
    assert (render(Registry(), accept)[0] == OPENMETRICS_TYPE) is openmetrics
