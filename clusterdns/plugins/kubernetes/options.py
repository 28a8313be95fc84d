# SPDX-License-Identifier: Apache-2.0
"""How the ``kubernetes`` directive is read: options, CoreDNS's error texts, warnings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from clusterdns.cluster.selectors import parse_selector
from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.config.keys import expand_zones, is_reverse, is_within
from clusterdns.dns import names
from clusterdns.errors import ConfigError, ExpressionError
from clusterdns.plugins.kubernetes.source import SourceOptions, SourceReader
from clusterdns.serving.zones import read_ttl
from clusterdns.zone.compiler import PodMode, ZoneOptions

_POD_MODES: Final[dict[str, PodMode]] = {"disabled": "disabled", "verified": "verified", "insecure": "insecure"}


class KubernetesOptions(msgspec.Struct, frozen=True):
    """One ``kubernetes`` directive.

    zone: what the zones hold.
    source: where the cluster is.
    labels, namespace_labels: selectors, empty for all.
    fallthrough: zones, in lower-case wire form, for whose names the next plugin is asked.
    """

    zone: ZoneOptions
    source: SourceOptions = SourceOptions()
    labels: str = ""
    namespace_labels: str = ""
    fallthrough: tuple[bytes, ...] = ()


class _OptionReader:
    """Reads the lines of a directive's block."""

    def __init__(self, reader: DirectiveReader) -> None:
        self.reader = reader
        self.line = reader.once()
        self.zones: list[str] = []
        self.namespaces: set[str] = set()
        self.pods: PodMode = "disabled"
        self.ttl_seconds = 5
        self.flags: set[str] = set()
        self.texts: dict[str, str] = {}
        self.fallthrough: list[str] = []
        self.imported: list[str] = []
        self.source = SourceReader(reader)

    def read(self) -> KubernetesOptions | None:
        self._read_zones()
        handlers: dict[str, Callable[[Line], None]] = {
            **self.source.handlers(),
            "namespaces": self._read_namespaces,
            "namespace_labels": partial(self._read_selector, "namespace_label"),
            "labels": partial(self._read_selector, "label"),
            "pods": self._read_pods,
            "endpoint_pod_names": self._read_flag,
            "noendpoints": self._read_flag,
            "ttl": self._read_ttl,
            "ignore": self._read_ignore,
            "fallthrough": self._read_fallthrough,
            "multicluster": self._read_multicluster,
            "zonal": self._read_flag,
            "terminating_fallback": self._read_terminating_fallback,
        }
        self.reader.options(self.line, handlers)
        with self.reader.collecting():
            self._check_together()
        if self.reader.errors:
            return None
        primary = next(zone for zone in self.zones if not is_reverse(zone))
        zone = ZoneOptions(
            zones=tuple(names.from_text(zone) for zone in self.zones),
            primary=names.from_text(primary),
            ttl_seconds=self.ttl_seconds,
            pods=self.pods,
            endpoint_pod_names="endpoint_pod_names" in self.flags,
            endpoints="noendpoints" not in self.flags,
            namespaces=frozenset(self.namespaces) or None,
            ignore_empty="empty_service" in self.flags,
            zonal="zonal" in self.flags,
            terminating_fallback="terminating_fallback off" not in self.flags,
            imported=tuple(names.from_text(zone) for zone in self.imported),
        )
        fallthrough = tuple(names.from_text(zone) for zone in self.fallthrough)
        return KubernetesOptions(zone=zone, source=self.source.finish(), fallthrough=fallthrough, **self.texts)

    def _read_zones(self) -> None:
        self.zones = self._zones(self.line) if self.line.args else list(self.reader.block.zones)
        if all(is_reverse(zone) for zone in self.zones):
            self.reader.report(
                self.line.name.error(
                    "non-reverse zone name must be used",
                    label=ConfigError.NO_POSITION,
                    hint="add the cluster's zone, such as cluster.local: PTR records lead to names in it",
                )
            )

    def _zones(self, line: Line) -> list[str]:
        for token in line.args:
            if expand_zones([token.text])[1]:
                self.reader.warn(token, f"{token.text} is not a zone and is ignored")
        return expand_zones(line.words)[0]

    def _check_together(self) -> None:
        end = self.line.closing or self.line.name
        if self.namespaces and "namespace_labels" in self.texts:
            raise end.error(
                "namespaces and namespace_labels cannot both be set",
                hint="each namespace has the label kubernetes.io/metadata.name, which namespace_labels can select by",
            )
        for zone in self.imported:
            if zone not in self.zones:
                raise end.error(
                    f"is not authoritative for the multicluster zone {zone} "
                    f"(authoritative zones: [{' '.join(self.zones)}])",
                    hint="name the zone behind kubernetes, too",
                )
        if {"noendpoints", "zonal"} <= self.flags:
            raise end.error("zonal requires the endpoint cache; remove noendpoints")
        if {"noendpoints", "empty_service"} <= self.flags:
            self.reader.warn(
                end, "noendpoints and ignore empty_service together leave no Service with a clusterIP",
                hint="remove one of the two",
            )  # fmt: skip

    def _read_namespaces(self, line: Line) -> None:
        if not line.args:
            raise line.wrong_count()
        self.namespaces.update(line.words)

    def _read_selector(self, kind: str, line: Line) -> None:
        if not line.args:
            raise line.wrong_count()
        text = " ".join(line.words)
        try:
            parse_selector(text)
        except ExpressionError as error:
            raise line.args[0].error(
                f"unable to parse {kind} selector value: '{text}': "
                f'couldn\'t parse the selector string "{text}": {error}',
                label=ConfigError.NO_POSITION,
            ) from None
        self.texts[f"{kind}s"] = text

    def _read_pods(self, line: Line) -> None:
        if len(line.args) != 1:
            raise line.wrong_count()
        mode = _POD_MODES.get(line.words[0])
        if mode is None:
            raise line.args[0].error(
                f"wrong value for pods: {line.words[0]},  must be one of: disabled, verified, insecure",
                label=ConfigError.NO_POSITION,
            )
        self.pods = mode

    def _read_flag(self, line: Line) -> None:
        if line.args:
            raise line.wrong_count()
        self.flags.add(line.name.text)

    def _read_ttl(self, line: Line) -> None:
        self.ttl_seconds = read_ttl(self.reader, line)

    def _read_ignore(self, line: Line) -> None:
        if not line.args:
            self.reader.warn(line.name, "ignore does nothing without an argument", hint="write ignore empty_service")
        elif line.words[0] != "empty_service":
            raise line.args[0].error(
                f"unable to parse ignore value: '{line.words[0]}'",
                label=ConfigError.NO_POSITION,
                hint="the only value is empty_service",
            )
        else:
            self.flags.add("empty_service")

    def _read_fallthrough(self, line: Line) -> None:
        self.fallthrough = self._zones(line) if line.args else ["."]
        for token in line.args:
            zones = expand_zones([token.text])[0]
            if zones and not any(is_within(zone, own) or is_within(own, zone) for zone in zones for own in self.zones):
                self.reader.warn(token, f"fallthrough for {token.text} does nothing: it is outside the zones served")

    def _read_multicluster(self, line: Line) -> None:
        self.imported = self._zones(line)
        if not line.args:
            self.reader.warn(line.name, "multicluster does nothing without zones", hint="name clusterset.local")

    def _read_terminating_fallback(self, line: Line) -> None:
        (word,) = line.expect(1)
        if word not in ("on", "off"):
            raise line.args[0].error(f"wrong value for terminating_fallback: {word}, must be one of: on, off")
        self.flags.discard("terminating_fallback off")
        self.flags.add(f"terminating_fallback {word}")


def parse(reader: DirectiveReader) -> KubernetesOptions | None:
    """The options of the directive; None if there are errors, which are reported to the reader."""
    return _OptionReader(reader).read()
