# SPDX-License-Identifier: Apache-2.0
"""What loads but surely isn't meant, seen from outside the directives. Plugins add their own with ``reader.warn``.

Looked for are directives that no query reaches, zones that no query asks for, and reverse zones whose queries end at
``kubernetes`` although the network is larger than the cluster, an ``autopath`` whose ``kubernetes`` doesn't know Pods,
and views behind a block that takes all their queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterdns.config.directive import Line, Token
from clusterdns.config.keys import Key, expand_zones, is_reverse, is_within
from clusterdns.config.plan import BlockPlan, DirectivePlan
from clusterdns.errors import ConfigError

# Directives whose arguments name zones that they answer, and the number of arguments before the zones.
_ZONE_ARGUMENTS = {"file": 1, "k8s_external": 0, "kubernetes": 0, "secondary": 0, "template": 2}


def find_oddities(blocks: Sequence[BlockPlan]) -> list[ConfigError]:
    """All warnings about the blocks of one Corefile."""
    warnings: list[ConfigError] = []
    for block in blocks:
        warnings.extend(_unreached(block))
        warnings.extend(_unasked(block, blocks))
        warnings.extend(_missing_fallthrough(block))
        warnings.extend(_unknown_clients(block))
    warnings.extend(_hidden_views(blocks))
    return warnings


def _warning(directive: DirectivePlan, token: Token, message: str, hint: str) -> ConfigError:
    warning = token.error(message, hint=hint, label=ConfigError.NO_POSITION)
    warning.plugin = directive.name
    return warning


# Directives behind one that answers everything


def _unreached(block: BlockPlan) -> Iterator[ConfigError]:
    answered: list[str] = []
    last: DirectivePlan | None = None
    for directive in block.directives:
        if not directive.in_chain or _is_only_a_source(directive, block):
            continue
        if last is not None and block.zones and all(_covered(zone, answered) for zone in block.zones):
            for line in directive.lines:
                yield _warning(
                    directive,
                    line.name,
                    f"'{directive.name}' is never reached: '{last.name}' in line {last.lines[0].name.line} answers "
                    "every query before it",
                    f"remove one of the two, or limit '{last.name}' to some queries",
                )
            continue
        final = list(_final_zones(directive, block))
        if final:
            answered.extend(final)
            last = directive


def _is_only_a_source(directive: DirectivePlan, block: BlockPlan) -> bool:
    """True for ``kubernetes`` in a block that needs no more of it than its cluster."""
    return directive.name == "kubernetes" and block.directive("k8s_external") is not None


def _final_zones(directive: DirectivePlan, block: BlockPlan) -> Iterator[str]:
    """The zones in which the directive passes no query on."""
    if directive.terminal:
        yield "."
    elif directive.name in _ZONE_ARGUMENTS:
        for line in directive.lines:
            if _answers_all(line):
                passed = _fallthrough_zones(line)
                zones = _zone_arguments(directive, line) or block.zones
                yield from (zone for zone in zones if passed is None or not _touched(zone, passed))


def _answers_all(line: Line) -> bool:
    if line.name.text != "template":
        return True
    narrowed = any(option.name.text == "match" for option in line.block or ())
    return not narrowed and line.words[:2] == ("ANY", "ANY")


def _covered(zone: str, zones: Sequence[str]) -> bool:
    return any(is_within(zone, other) for other in zones)


def _touched(zone: str, zones: Sequence[str]) -> bool:
    return any(is_within(zone, other) or is_within(other, zone) for other in zones)


def _zone_arguments(directive: DirectivePlan, line: Line) -> list[str]:
    return expand_zones(line.words[_ZONE_ARGUMENTS[directive.name] :])[0]


def _fallthrough_zones(line: Line) -> list[str] | None:
    """The zones of the last ``fallthrough``, the root for one without zones; None if there is none."""
    options = [option for option in line.block or () if option.name.text == "fallthrough"]
    if not options:
        return None
    return expand_zones(options[-1].words)[0] if options[-1].args else ["."]


# Zones that nobody asks for


def _unasked(block: BlockPlan, blocks: Sequence[BlockPlan]) -> Iterator[ConfigError]:
    for directive in block.directives:
        if directive.name not in _ZONE_ARGUMENTS or _is_only_a_source(directive, block):
            continue
        for line in directive.lines:
            for token in line.args[_ZONE_ARGUMENTS[directive.name] :]:
                zones = expand_zones([token.text])[0]
                reasons = [_reason_unasked(zone, block, blocks) for zone in zones]
                if reasons and all(reasons):
                    text = zones[0] if len(zones) == 1 else token.text
                    yield _warning(directive, token, f"no query for {text} comes here: {reasons[0]}", _UNASKED_HINT)


_UNASKED_HINT = "move it to the block that serves the zone, or remove it"


def _reason_unasked(zone: str, block: BlockPlan, blocks: Sequence[BlockPlan]) -> str:
    """Why no query below the zone reaches the block; empty if some do."""
    reason = "it is outside the zones of this block"
    for key in block.keys:
        if is_within(key.zone, zone):
            return ""
        if is_within(zone, key.zone):
            nearer = _nearer_key(zone, key, block, blocks)
            if nearer is None:
                return ""
            reason = f"the block of line {nearer.token.line} serves {nearer.zone} on the same listener"
    return reason if block.keys else ""


def _nearer_key(zone: str, key: Key, block: BlockPlan, blocks: Sequence[BlockPlan]) -> Key | None:
    """The key of another block that takes all queries of ``zone`` from ``key``."""
    for other in blocks:
        if other is block or other.directive("view") or not _listens_where(other, block):
            continue
        for candidate in other.keys:
            same_port = (candidate.transport, candidate.port) == (key.transport, key.port)
            if same_port and candidate.zone != key.zone and _between(zone, candidate.zone, key.zone):
                return candidate
    return None


def _between(zone: str, middle: str, top: str) -> bool:
    return is_within(zone, middle) and is_within(middle, top)


def _listens_where(other: BlockPlan, block: BlockPlan) -> bool:
    return set(block.binds or ("",)) <= set(other.binds or ("",))


# Reverse zones without fallthrough


def _missing_fallthrough(block: BlockPlan) -> Iterator[ConfigError]:
    directive = block.directive("kubernetes")
    if directive is None:
        return
    behind = block.directives[block.directives.index(directive) + 1 :]

    def alone(zone: str) -> bool:
        """True if the block is for this zone and has nothing else that could answer it."""
        return zone in block.zones and not any(other.in_chain for other in behind)

    for line in directive.lines:
        passed = _fallthrough_zones(line) or []
        zones = [zone for zone in _zone_arguments(directive, line) or block.zones if is_reverse(zone)]
        missing = [zone.rstrip(".") for zone in zones if not _covered(zone, passed) and not alone(zone)]
        if missing:
            shown = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more"
            yield _warning(
                directive,
                line.name,
                f"no fallthrough for {shown}: addresses that the cluster doesn't know get NXDOMAIN",
                f"add to its block: fallthrough {' '.join(missing[:3])}",
            )


# Search lists of Pods that nobody knows


def _unknown_clients(block: BlockPlan) -> Iterator[ConfigError]:
    directive, kubernetes = block.directive("autopath"), block.directive("kubernetes")
    if directive is None or kubernetes is None or directive.lines[-1].words[-1:] != ("@kubernetes",):
        return
    options = [option for line in kubernetes.lines for option in line.block or ()]
    modes = [option.words for option in options if option.name.text == "pods"]
    if modes[-1:] != [("verified",)]:
        yield _warning(
            directive,
            directive.lines[-1].last,
            "this does nothing: kubernetes doesn't know which Pod asks",
            f"write 'pods verified' in the block of kubernetes in line {kubernetes.lines[0].name.line}",
        )


# Views that come too late


def _hidden_views(blocks: Sequence[BlockPlan]) -> Iterator[ConfigError]:
    """Blocks of one zone are asked in the order of the file: one without a view leaves nothing to those after it."""
    taken: dict[tuple[str, str, str, int], Key] = {}
    for block in blocks:
        served = [
            ((key.zone, key.transport, address, key.port), key)
            for key in block.keys
            for address in block.binds or ("",)
        ]
        view = block.directive("view")
        if view is None:
            for place, key in served:
                taken.setdefault(place, key)
        elif served and all(place in taken for place, _ in served):
            first = taken[served[0][0]].token.line
            yield _warning(
                view,
                view.lines[0].name,
                f"no query comes here: the block of line {first} serves the same zone without a view",
                "move this block before it",
            )
