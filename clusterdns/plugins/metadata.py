# SPDX-License-Identifier: Apache-2.0
"""metadata - lets directives use what others know about a query.

## Description

Directives of the block that know something about a query offer it under labels, which others can use: `log` as
`{/LABEL}`, `template` as `.Meta "LABEL"`, expressions as `metadata('LABEL')`, `rewrite edns0 local` as `{LABEL}`.
Without this directive all labels are empty. A value is computed when it is asked for.

* `kubernetes/service`, `kubernetes/namespace`, `kubernetes/endpoint`, `kubernetes/port-name`, `kubernetes/protocol`:
  the parts of a name in the zones of `kubernetes`.
* `kubernetes/kind`: `svc` or `pod`.
* `kubernetes/parse-error`: `invalid query name` for a name in the zones that can't be one of a Service or Pod.
* `kubernetes/client-namespace`, `kubernetes/client-pod-name` and `kubernetes/client-label/KEY`: the Pod that asks, by
  its address; only with `pods verified`. Nothing for Pods with the address of their node.
* `forward/upstream`: the server that was asked.
* `zone/wildcard`: the wildcard whose records `file`, `auto` or `secondary` gave to the name.
* `view/name`: the name of the block's view.
* `log/type` and `log/class`: what kind of reply it was, such as `NXDOMAIN` and `denial`.

## Syntax

~~~ txt
metadata [ZONES...]
~~~

* **ZONES** are the zones of whose queries something is known, by default those of the server block.

## Examples

~~~ corefile
example.org {
    metadata
    view internal {
        expr incidr(client_ip(), '10.0.0.0/8')
    }
    log . "{remote} {name} {rcode} {/view/name}"
    whoami
}
~~~
"""

from __future__ import annotations

from functools import cached_property

import msgspec

from clusterdns.config.directive import DirectiveReader
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.metadata import NO_METADATA, Metadata, MetadataSource, QueryMetadata
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.query import Query


class Options(msgspec.Struct, frozen=True):
    """``zones``: in lower-case wire form."""

    zones: tuple[bytes, ...] = ()


class Collector(Plugin):
    """The directive. The block asks it before the chain; no query passes it."""

    name = "metadata"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """Zones."""
        line = reader.lines[0]
        for other in reader.lines[1:]:
            reader.report(other.wrong_count(other.name))
        if line.block is not None:
            reader.report(line.wrong_count(line.block[0].name if line.block else line.opening))
        for token in line.args:
            if expand_zones([token.text])[1]:
                reader.warn(token, f"{token.text} is not a zone and is ignored")
        zones = expand_zones(line.words)[0] if line.args else reader.block.zones
        return Options(tuple(names.from_text(zone) for zone in zones))

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._zones = options.zones

    @cached_property
    def _sources(self) -> dict[str, MetadataSource]:
        siblings = self.setup.siblings
        return {name: plugin for name, plugin in siblings.items() if isinstance(plugin, MetadataSource)}

    def collect(self, query: Query) -> Metadata:
        """See MetadataCollector."""
        if any(names.is_in(query.key, zone) for zone in self._zones):
            return QueryMetadata(query, self._sources)
        return NO_METADATA
