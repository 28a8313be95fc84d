# SPDX-License-Identifier: Apache-2.0
r"""auto - zones from the files of a directory.

## Description

Serves a zone for each file of a directory, and of the directories in it, whose name says of which zone it is. Files
that appear, change or go away are noticed. The files and the answers are as with `file`.

The directive may be used several times in a server block.

## Syntax

~~~ txt
auto [ZONES...] {
    directory DIR [REGEXP ORIGIN]
    reload DURATION
}
~~~

* **ZONES** are the zones that may be served, with all below them; by default those of the server block. Files of other
  zones are warned of.
* `directory` is where the files are, relative to `root` or else to the working directory. **REGEXP**, in RE2 syntax and
  by default `db\.(.*)`, is looked for in the name of each file; **ORIGIN**, by default `{1}`, is the name of the zone,
  in which `{1}` stands for the first group, `{name}` for the group of that name. A directory that isn't there is
  warned of, and looked for again.
* `reload` is the time between two looks, by default `60s`; `0` looks only once.

A file with a fault is logged, and its zone answers SERVFAIL until it is mended; a zone that was read before stays as it
was. Of several files for a zone the first one in lexical order counts. Directories whose name begins with two dots are
left out: in mounted ConfigMaps they hold the same files again.

## Examples

~~~ corefile
. {
    auto example.org {
        directory /etc/clusterdns/zones
        reload 30s
    }
    whoami
}
~~~

Files such as `example.org.zone`:

~~~ corefile
. {
    auto {
        directory zones (.*)\.zone$ {1}
    }
}
~~~
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, parse_with
from clusterdns.dns import names
from clusterdns.errors import ConfigError, MasterFileError, WireError
from clusterdns.expressions.regex import Regex, compile_regex
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.zones import ZonePlugin, ignore_upstream, in_turns, read_reload, read_zones
from clusterdns.zone.files import ZoneFile

RELOAD_SECONDS: Final = 60.0
MAX_REGEX_CHARACTERS: Final = 10_000

_REFERENCE: Final = re.compile(r"\$?\{([0-9A-Za-z_]+)\}")


class Use(msgspec.Struct, frozen=True):
    """One use. ``directory`` is as written, empty for none; ``reload_seconds`` is 0 for never."""

    zones: tuple[bytes, ...]
    directory: str
    regex: Regex
    template: str
    reload_seconds: float


class _UseReader:
    """Reads one use."""

    def __init__(self, reader: DirectiveReader) -> None:
        self._reader = reader
        self._directory = ""
        self._regex = compile_regex(r"db\.(.*)")
        self._template = "{1}"
        self._reload_seconds = RELOAD_SECONDS

    def read(self, line: Line) -> Use:
        zones = read_zones(self._reader, line.args)
        handlers: dict[str, Callable[[Line], None]] = {
            "directory": self._read_directory,
            "reload": self._read_reload,
            "upstream": partial(ignore_upstream, self._reader),
        }
        faults = len(self._reader.errors)
        self._reader.options(line, handlers)
        if not self._directory and len(self._reader.errors) == faults:
            self._reader.warn(line.name, "without a directory no zone is served", hint="add: directory DIR")
        return Use(zones, self._directory, self._regex, self._template, self._reload_seconds)

    def _read_directory(self, line: Line) -> None:
        line.no_block()
        line.expect(1, 3)
        self._directory = line.words[0]
        if len(line.args) == 1:
            return
        pattern = line.args[1]
        if len(pattern.text) > MAX_REGEX_CHARACTERS:
            raise pattern.error("regexp too large")
        self._regex = parse_with(pattern, compile_regex, label=ConfigError.NO_POSITION)
        if len(self._regex.names) < 2:
            raise pattern.error("Need at least one sub expression")
        if len(line.args) == 2:
            raise line.wrong_count()
        self._template = line.words[2]

    def _read_reload(self, line: Line) -> None:
        self._reload_seconds = read_reload(line)


class Auto(ZonePlugin):
    """The zones of all uses in a server block."""

    name = "auto"

    @staticmethod
    def parse(reader: DirectiveReader) -> tuple[Use, ...]:
        """See the manual page."""
        uses = []
        for line in reader.lines:
            with reader.collecting():
                uses.append(_UseReader(reader).read(line))
        return tuple(uses)

    def __init__(self, options: tuple[Use, ...], setup: Setup) -> None:
        super().__init__(options, setup)
        self._uses = [use for use in options if use.directory]
        self._files: dict[bytes, _NumberedFile] = {}
        self._warned: set[str] = set()
        self._tasks: list[Lease] = []

    async def start(self) -> None:
        """Read the files that there are."""
        for number, use in enumerate(self._uses):
            await self.look(number)
            if use.reload_seconds:
                work = self._look_forever(number, use.reload_seconds)
                self._tasks.append(self.services.spawn(f"auto: {use.directory}", work))

    async def stop(self, final: bool) -> None:
        """Look no more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await task.release()

    async def _look_forever(self, number: int, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self.look(number)

    async def look(self, number: int) -> None:
        """Look for files of a use that have appeared, changed or gone."""
        found = self._find(self._uses[number])
        for origin in [origin for origin, file in self._files.items() if file.number == number and origin not in found]:
            self.log.info("Deleting zone `%s'", names.to_text(origin))
            del self._files[origin], self.zones[origin]
            self.setup.publish()
        for origin, path in found.items():
            file = self._files.get(origin)
            if file is None:
                file = self._files[origin] = _NumberedFile(origin, path, number)
                self.zones[origin] = None
            elif file.number != number:
                self._warn(f"{path} is not read: {file.path} is a file of the same zone")
                continue
            file.path = path
            await self._refresh(file)

    def _find(self, use: Use) -> dict[bytes, str]:
        """The file of each zone."""
        directory = self.setup.path(use.directory)
        if not os.path.isdir(directory):
            self._warn(f"Directory does not exist: {directory}")
        found: dict[bytes, str] = {}
        for path in _walk(directory):
            groups = use.regex.find(os.path.basename(path))
            if groups is None:
                continue
            text = _expand(use.template, dict(zip(use.regex.names, groups, strict=True)), groups)
            try:
                origin = names.from_text(text).lower()
            except WireError as error:
                self._warn(f"{path} is not read: {error}")
                continue
            if not any(names.is_in(origin, zone) for zone in use.zones):
                self._warn(f"{path} is not read: {names.to_text(origin)} is outside of the zones of this directive")
            elif origin in found:
                self._warn(f'Multiple zone files match origin "{names.to_text(origin)}": {path} is not read')
            else:
                found[origin] = path
        return found

    async def _refresh(self, file: ZoneFile) -> None:
        zone_text = names.to_text(file.origin)
        is_first = file.zone is None
        try:
            if not await in_turns(file.refresh()) or file.zone is None:
                return
        except MasterFileError as error:
            self.log.warning("Parse zone `%s': %s", zone_text, error)
            return
        except OSError as error:
            self.log.warning("Opening %s failed: %s", file.path, error.strerror or error)
            return
        for warning in file.zone.warnings:
            self.log.warning("%s: %s", file.path, warning)
        if is_first:
            self.log.info("Inserting zone `%s' from: %s", zone_text, file.path)
        else:
            serial = file.zone.serial
            self.log.info('Successfully reloaded zone "%s" in "%s" with %d SOA serial', zone_text, file.path, serial)
        if self._files.get(file.origin) is file:
            self.zones[file.origin] = file.zone
            self.publish(file.origin)

    def _warn(self, text: str) -> None:
        """Log a warning once."""
        if text not in self._warned:
            self._warned.add(text)
            self.log.warning("%s", text)


class _NumberedFile(ZoneFile):
    """The file of a zone, and the number of the use that it belongs to."""

    def __init__(self, origin: bytes, path: str, number: int) -> None:
        super().__init__(origin, path)
        self.number = number


def _walk(directory: str) -> Iterator[str]:
    """The paths of the files below a directory, in lexical order."""
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith(".."))
        for name in sorted(files):
            yield os.path.join(folder, name)


def _expand(template: str, named: dict[str, str], groups: tuple[str, ...]) -> str:
    """The template with the groups of a match in it; those that there aren't are empty."""

    def group(reference: re.Match[str]) -> str:
        key = reference[1]
        if key.isdigit():
            return groups[int(key)] if len(key) < 4 and int(key) < len(groups) else ""
        return named.get(key, "")

    return _REFERENCE.sub(group, template)
