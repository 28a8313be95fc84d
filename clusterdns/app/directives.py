# SPDX-License-Identifier: Apache-2.0
"""Every directive there is: those of ``clusterdns.plugins``, and those that other installed packages bring.

A package declares a directive as an entry point (PyPA's "Entry points specification") of the group below, whose name is
the directive and whose object a subclass of ``serving.plugin.Plugin``. Packages are looked for when a Corefile uses a
name that isn't built in, or somebody asks for the list; one is imported when its directive is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import msgspec

from clusterdns.config.directive import DirectiveReader
from clusterdns.config.plan import Directive
from clusterdns.errors import ClusterDNSError, ConfigError, PackageError
from clusterdns.plugins import table
from clusterdns.serving.plugin import Plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "clusterdns.plugins"

_RESERVED: Final = frozenset(("import",))
_UNINSTALL: Final = "uninstall the package, or have its directive take another name"


class OutsideDirective(msgspec.Struct, frozen=True):
    """A directive that a package declares.

    target: ``module:Class``. package: its name and version, ``clusterdns-sinkhole 1.0``.
    """

    name: str
    target: str
    package: str


def installed() -> list[OutsideDirective]:
    """What the packages declare that Python finds, by name and package."""
    from importlib.metadata import entry_points  # takes ten milliseconds, which few need

    return sorted(map(_declared, entry_points(group=GROUP)), key=lambda each: (each.name, each.package))


def _declared(entry_point: EntryPoint) -> OutsideDirective:
    dist = entry_point.dist
    package = "an unnamed package" if dist is None else f"{dist.name} {dist.version}"
    return OutsideDirective(entry_point.name, entry_point.value, package)


class Directives:
    """The directives by name; iterating gives the names of those that may be used, in the order of execution.

    find_installed: gives those of other packages, asked once.
    """

    def __init__(self, find_installed: Callable[[], Iterable[OutsideDirective]] = installed) -> None:
        self._builtin = table.DIRECTIVES
        self._find_installed = find_installed
        self._declared: dict[str, OutsideDirective] | None = None
        self._refusals: dict[str, PackageError] = {}
        self._loaded: dict[str, type[Plugin]] = {}

    def outside(self) -> dict[str, OutsideDirective]:
        """The directives of packages, by name, without those that are refused. Loading one may still fail."""
        return {name: each for name, each in self._all_declared().items() if name not in self._refusals}

    def refusals(self) -> list[PackageError]:
        """Why directives of packages can't be used by anybody: their names are taken."""
        self._all_declared()
        return list(self._refusals.values())

    def _all_declared(self) -> dict[str, OutsideDirective]:
        if self._declared is None:
            self._declared = {}
            for each in self._find_installed():
                self._add(each, self._declared)
        return self._declared

    def _add(self, new: OutsideDirective, declared: dict[str, OutsideDirective]) -> None:
        name = new.name
        other = declared.get(name)
        if name in self._builtin or name in _RESERVED:
            message = f"the directive '{name}' of the package {new.package} is not used: one of this name is built in"
            self._refusals[name] = PackageError(message, hint=_UNINSTALL)
        elif other is not None and other != new:
            # The other one stays declared: the name is known and refused, not unknown.
            message = f"the packages {other.package} and {new.package} both bring a directive '{name}'"
            self._refusals[name] = PackageError(message, hint="uninstall one of them")
        else:
            declared[name] = new

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._all_declared()

    def __iter__(self) -> Iterator[str]:
        waiting = dict.fromkeys(self.outside() if self._declared is not None else ())
        for name in self._builtin:
            for other in [each for each in waiting if each in self._loaded and self._loaded[each].before == name]:
                del waiting[other]
                yield other
            yield name
        yield from waiting

    def find(self, name: str) -> Directive | None:
        """What planning needs of a directive; None for one that isn't implemented yet.

        Raises KeyError for an unknown name, PackageError for a directive of a package that can't be used.
        """
        plugin = self.load(name)
        return plugin if plugin is None or name in self._builtin else _Guarded(plugin)

    def load(self, name: str) -> type[Plugin] | None:
        """The class of a directive; errors as for ``find``."""
        if name in self._builtin:
            return table.load(name)
        declared = self._all_declared()[name]
        if name in self._refusals:
            raise self._refusals[name]
        plugin = self._loaded.get(name)
        if plugin is None:
            plugin = self._loaded[name] = self._import(declared)
        return plugin

    def _import(self, declared: OutsideDirective) -> type[Plugin]:
        name = declared.name
        where = f"the directive '{name}' of the package {declared.package} can't be loaded"
        module, _, attributes = declared.target.partition(":")
        found: object
        try:
            found = import_module(module.strip())
            for attribute in filter(None, attributes.strip().split(".")):
                found = getattr(found, attribute)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            raise PackageError(f"{where}: {reason}", hint="mend or reinstall the package") from error
        fault = self._fault(name, declared.target, found)
        if fault:
            raise PackageError(f"{where}: {fault}", hint="docs/example-plugin shows what a directive needs")
        assert isinstance(found, type)
        assert issubclass(found, Plugin)
        return found

    def _fault(self, name: str, target: str, found: object) -> str:
        """What is wrong about the object of an entry point; empty if nothing is."""
        if not (isinstance(found, type) and issubclass(found, Plugin)):
            return f"{target} is no subclass of {Plugin.__module__}.{Plugin.__qualname__}"
        if getattr(found, "name", None) != name:
            return f"{target}.name is {getattr(found, 'name', None)!r}, not {name!r}"
        if found.parse is Plugin.parse:
            return f"{target} has no parse"
        if found.in_chain and not found.before:
            return f"{target}.before doesn't say in front of which directive it sees queries"
        if found.before and found.before not in self._builtin:
            return f"{target}.before is {found.before!r}, which is no built-in directive"
        return ""

    def manual_page(self, name: str) -> str:
        """The docstring of the directive's module, empty if it has none; errors as for ``find``."""
        plugin = self.load(name)
        return "" if plugin is None else inspect.getdoc(inspect.getmodule(plugin)) or ""


class _Guarded:
    """A directive of a package, as planning sees it: what breaks in it is a fault of the Corefile's line."""

    def __init__(self, plugin: type[Plugin]) -> None:
        self._plugin = plugin
        self.in_chain = bool(plugin.in_chain)
        self.terminal = bool(plugin.terminal)

    def parse(self, reader: DirectiveReader) -> Any:
        """See Directive."""
        try:
            return self._plugin.parse(reader)
        except ClusterDNSError:
            raise
        except Exception as error:
            raise reader.lines[0].name.error(
                f"its package failed to read the directive: {type(error).__name__}: {error}",
                label=ConfigError.NO_POSITION,
                hint="mend the package, or write the directive as its manual page says",
            ) from error


DIRECTIVES: Final = Directives()
"""Those of this process."""
