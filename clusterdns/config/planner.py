# SPDX-License-Identifier: Apache-2.0
"""A Corefile to a plan: reads everything, finds every fault, changes nothing."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec

from clusterdns.config.custom import Import, find_conflicts, hint_for_block
from clusterdns.config.directive import BlockContext, DirectiveReader, Line
from clusterdns.config.expand import Source, expand
from clusterdns.config.files import Files
from clusterdns.config.keys import Key, follows_preferred_syntax, parse_key, syntax_warning
from clusterdns.config.lint import find_oddities
from clusterdns.config.listeners import find_clashes
from clusterdns.config.parser import Block
from clusterdns.config.plan import BlockPlan, Directive, DirectivePlan, DirectiveTable, Plan
from clusterdns.errors import ConfigError, ConfigErrors, PackageError

Interfaces: TypeAlias = Callable[[str], tuple[str, ...]]

# What is served without a Corefile, or with one that has no server block.
DEFAULT_COREFILE = ". {\n    whoami\n    log\n}\n"
_DEFAULT_NAME = "built-in"

# Directives that CoreDNS once had, in old Corefiles.
_RETIRED = {
    "federation": "remove it: CoreDNS has none since 1.7, nor has Kubernetes since 1.18",
    "proxy": "write forward: it is in the place of proxy since CoreDNS 1.5",
}


class Verdict(msgspec.Struct, frozen=True):
    """What there is to say about a Corefile: its faults and warnings by position, and the plan if it has no faults.

    digest: as in the plan, also where there is none; an equal digest means that there is nothing new to say.
    """

    plan: Plan | None
    errors: tuple[ConfigError, ...]
    warnings: tuple[ConfigError, ...]
    digest: str


def plan(
    source: Source,
    table: DirectiveTable,
    *,
    environment: Mapping[str, str],
    default_port: int = 53,
    files: Files | None = None,
    interface_addresses: Interfaces | None = None,
    manifests: str = "",
) -> Plan:
    """The plan of a Corefile. Raises ConfigErrors with all faults, by position; arguments as for ``check``."""
    verdict = check(
        source,
        table,
        environment=environment,
        default_port=default_port,
        files=files,
        interface_addresses=interface_addresses,
        manifests=manifests,
    )
    if verdict.plan is None:
        raise ConfigErrors(verdict.errors)
    return verdict.plan


def check(
    source: Source,
    table: DirectiveTable,
    *,
    environment: Mapping[str, str],
    default_port: int = 53,
    files: Files | None = None,
    interface_addresses: Interfaces | None = None,
    manifests: str = "",
) -> Verdict:
    """Everything that is wrong or odd about a Corefile, and its plan.

    table: the directives there are, in the order of execution.
    environment: the variables for ``{$NAME}``.
    default_port: the port of keys without one.
    files: where imports are read from; without it there is nothing to import but snippets.
    interface_addresses: the IP addresses of a network interface, for ``bind``.
    manifests: the directory that stands in for the API server where ``kubernetes`` names none.
    """
    corefile = expand(source, environment=environment, files=files)
    builtin = not corefile.blocks and not corefile.errors
    if builtin:
        default = expand(Source(_DEFAULT_NAME, DEFAULT_COREFILE), environment={})
        corefile = msgspec.structs.replace(corefile, blocks=default.blocks, digest=default.digest)
    planner = _Planner(source, table, default_port, interface_addresses, manifests, corefile.imports)
    blocks = tuple(planner.block(block) for block in corefile.blocks)
    order = {path: number for number, path in enumerate((source.path, *corefile.files))}
    errors = _sorted((*corefile.errors, *planner.errors, *find_clashes(planner.bound)), order)
    odd = (*corefile.warnings, *planner.warnings, *find_oddities(blocks))
    conflicts = find_conflicts(corefile.blocks, corefile.imports, list(table), (*errors, *odd))
    warnings = _sorted((*odd, *conflicts), order)
    if errors:
        return Verdict(None, errors, warnings, corefile.digest)
    found = Plan(blocks, corefile.files, corefile.globs, warnings, corefile.digest, builtin)
    return Verdict(found, errors, warnings, corefile.digest)


def _sorted(errors: Iterable[ConfigError], order: Mapping[str, int]) -> tuple[ConfigError, ...]:
    """By file, line and column; an imported fault that shows up twice is told once."""
    once = {(error.file, error.line, error.column, error.plugin, error.message): error for error in reversed([*errors])}
    return tuple(sorted(once.values(), key=lambda error: (order.get(error.file, len(order)), error.line, error.column)))


class _Planner:
    def __init__(
        self,
        source: Source,
        table: DirectiveTable,
        default_port: int,
        interface_addresses: Interfaces | None,
        manifests: str,
        imports: tuple[Import, ...],
    ) -> None:
        self.imports = imports
        self.source = source
        self.table = table
        self.default_port = default_port
        self.interface_addresses = interface_addresses
        self.manifests = manifests
        self.bound: list[BlockPlan] = []
        self.errors: list[ConfigError] = []
        self.warnings: list[ConfigError] = []

    def block(self, block: Block) -> BlockPlan:
        """The plan of one block, as far as it can be read."""
        keys = self.keys(block)
        zones = tuple(dict.fromkeys(key.zone for key in keys))
        grouped: dict[str, list[Line]] = {}
        for line in block.lines:
            grouped.setdefault(line.name.text, []).append(line)
        context = self.context(zones, grouped)
        found_directives = {name: self.find(name, lines) for name, lines in grouped.items()}
        order = {name: number for number, name in enumerate(self.table)}  # known once they are found
        directives = []
        for name in sorted(found_directives, key=lambda name: order.get(name, -1)):
            directive = found_directives[name]
            if directive is not None:
                directives.append(self.read(name, directive, tuple(grouped[name]), context))
        binds = next((directive.options for directive in directives if directive.name == "bind"), None)
        addresses = tuple(getattr(binds, "addresses", ()))
        found = BlockPlan(keys, zones, addresses, tuple(directives), block.position)
        # With a bind that can't be read the block would seem to listen everywhere, and to clash with others.
        if addresses or "bind" not in grouped:
            self.bound.append(found)
        return found

    def keys(self, block: Block) -> tuple[Key, ...]:
        keys: list[Key] = []
        for token in block.keys:
            try:
                keys.extend(parse_key(token, self.default_port))
            except ConfigError as error:
                self.errors.append(error)
        for key in keys:
            if not follows_preferred_syntax(key.zone):
                message = syntax_warning(key.zone)
                self.warnings.append(key.token.error(message, label=ConfigError.NO_POSITION))
        return tuple(keys)

    def context(self, zones: tuple[str, ...], grouped: Mapping[str, list[Line]]) -> BlockContext:
        roots = [line.words[0] for line in grouped.get("root", ()) if line.args]
        context = BlockContext(
            zones=zones,
            directory=self.source.directory,
            root=roots[-1] if roots else "",
            directives=frozenset(grouped),
            manifests=self.manifests,
        )
        if self.interface_addresses is not None:
            context = msgspec.structs.replace(context, interface_addresses=self.interface_addresses)
        return context

    def find(self, name: str, lines: Iterable[Line]) -> Directive | None:
        try:
            directive = self.table[name]
        except KeyError:
            for line in lines:
                self.errors.append(line.name.error(f"Unknown directive '{name}'", hint=self.hint(line)))
            return None
        except PackageError as error:
            for line in lines:
                self.errors.append(line.name.error(str(error), hint=error.hint, label=ConfigError.NO_POSITION))
            return None
        if directive is None:
            for line in lines:
                self.errors.append(
                    line.name.error(
                        f"directive '{name}' isn't implemented yet",
                        hint="remove it; `clusterdns plugins` lists the directives that there are",
                    )
                )
        return directive

    def hint(self, line: Line) -> str:
        name = line.name.text
        if not name:
            return "an environment variable here is empty"
        misplaced = hint_for_block(line, self.imports)
        if misplaced:
            return misplaced
        if line.block is not None and ("." in name or ":" in name):
            return "if this is a new server block, the '}' of the one before it is missing"
        if name in _RETIRED:
            return _RETIRED[name]
        close = difflib.get_close_matches(name.lower(), self.table, n=1)
        return f"did you mean {close[0]}?" if close else "`clusterdns plugins` lists the directives that there are"

    def read(self, name: str, directive: Directive, lines: tuple[Line, ...], context: BlockContext) -> DirectivePlan:
        reader = DirectiveReader(name, lines, context)
        options: object = None
        with reader.collecting():
            options = directive.parse(reader)
        self.errors.extend(reader.errors)
        self.warnings.extend(reader.warnings)
        return DirectivePlan(name, options, lines, directive.in_chain, directive.terminal)
