# SPDX-License-Identifier: Apache-2.0
"""What another plan would do differently: blocks, zones, addresses and directives, by meaning and not by text.

Layout, comments, imports, snippets and the order of directives mean nothing, nor does it to write out a default.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from clusterdns.config.directive import Line, Token
from clusterdns.config.plan import BlockPlan, DirectivePlan, Plan

Kind: TypeAlias = Literal["added", "removed", "changed"]

_SAME_TEXT: Final = "the text is the same, but it means something else in a block with other zones or directives"
_VIEW: Final = "view"
_BIND: Final = "bind"


class TextChange(msgspec.Struct, frozen=True):
    """A line that only one of the two has."""

    kind: Literal["added", "removed"]
    text: str


class DirectiveChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A directive of a block. ``old`` and ``new`` say where it stands, as ``file:line``; ``lines`` are what changes.

    note: what there is to say where the lines don't tell it.
    """

    name: str
    kind: Kind
    old: str = ""
    new: str = ""
    lines: tuple[TextChange, ...] = ()
    note: str = ""


class BlockChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server block.

    block: what it is for, ``cluster.local.:53 view inside``.
    old, new: where it stands.
    keys, binds: ``ZONE:PORT`` and addresses that come or go.
    order: True if it stands before a block now that was asked before it, and a view may decide otherwise by that.
    """

    block: str
    kind: Kind
    old: str = ""
    new: str = ""
    keys: tuple[TextChange, ...] = ()
    binds: tuple[TextChange, ...] = ()
    directives: tuple[DirectiveChange, ...] = ()
    order: bool = False


def diff_plans(old: Plan, new: Plan) -> tuple[BlockChange, ...]:
    """The blocks that change, in the order of the new plan, those that go first; empty if both mean the same."""
    pairs = _pairs(old.blocks, new.blocks)
    changes = [
        BlockChange(_title(block), "removed", old=_place(block.position))
        for block in old.blocks
        if not any(before is block for before, _ in pairs)
    ]
    moved = _moved(old.blocks, new.blocks, pairs)
    before_of = {id(after): before for before, after in pairs}
    for block in new.blocks:
        before = before_of.get(id(block))
        if before is None:
            changes.append(BlockChange(_title(block), "added", new=_place(block.position)))
            continue
        change = _change(before, block, order=id(block) in moved)
        if change is not None:
            changes.append(change)
    return tuple(changes)


def _pairs(old: Sequence[BlockPlan], new: Sequence[BlockPlan]) -> list[tuple[BlockPlan, BlockPlan]]:
    """The blocks that are the same one: with the same keys, binds and view, or else with the most keys in common."""
    left, right = list(old), list(new)
    pairs = []
    for block in old:
        same = next((other for other in right if _identity(other) == _identity(block)), None)
        if same is not None:
            pairs.append((block, same))
            left.remove(block)
            right.remove(same)
    ranked = sorted(
        ((_likeness(one, other), -number, one, other) for number, one in enumerate(left) for other in right),
        key=lambda entry: entry[:2],
        reverse=True,
    )
    for likeness, _, one, other in ranked:
        if likeness and any(each is one for each in left) and any(each is other for each in right):
            pairs.append((one, other))
            left = [each for each in left if each is not one]
            right = [each for each in right if each is not other]
    return pairs


def _identity(block: BlockPlan) -> tuple[object, ...]:
    return frozenset(_keys(block)), frozenset(block.binds), _view(block)


def _likeness(one: BlockPlan, other: BlockPlan) -> int:
    """Keys in common, which must be some, then zones, the view, and addresses."""
    keys = len(set(_keys(one)) & set(_keys(other)))
    zones = len(set(one.zones) & set(other.zones))
    if not zones:
        return 0
    return 8 * keys + 4 * zones + 2 * (_view(one) == _view(other)) + (one.binds == other.binds)


def _change(old: BlockPlan, new: BlockPlan, *, order: bool) -> BlockChange | None:
    keys = tuple(_set_changes(_keys(old), _keys(new)))
    binds = tuple(_set_changes(old.binds, new.binds))
    directives = tuple(_directive_changes(old, new))
    if not (keys or binds or directives or order):
        return None
    places = _place(old.position), _place(new.position)
    return BlockChange(_title(new), "changed", *places, keys, binds, directives, order)


def _directive_changes(old: BlockPlan, new: BlockPlan) -> Iterator[DirectiveChange]:
    before = {directive.name: directive for directive in old.directives if directive.name != _BIND}
    after = {directive.name: directive for directive in new.directives if directive.name != _BIND}
    for name in dict.fromkeys((*before, *after)):
        one, other = before.get(name), after.get(name)
        if one is None and other is not None:
            yield DirectiveChange(name, "added", new=_where(other), lines=_texts("added", _render(other)))
        elif other is None and one is not None:
            yield DirectiveChange(name, "removed", old=_where(one), lines=_texts("removed", _render(one)))
        elif one is not None and other is not None and one.options != other.options:
            lines = tuple(_line_changes(_render(one), _render(other)))
            yield DirectiveChange(name, "changed", _where(one), _where(other), lines, "" if lines else _SAME_TEXT)


def _moved(
    old: Sequence[BlockPlan], new: Sequence[BlockPlan], pairs: Iterable[tuple[BlockPlan, BlockPlan]]
) -> set[int]:
    """The new blocks that changed places with another one that shares a zone and a port with them."""
    ranks = {id(block): number for number, block in enumerate(old)}
    rank_of = {id(after): ranks[id(before)] for before, after in pairs}
    kept = [block for block in new if id(block) in rank_of]
    return {
        id(first)
        for number, first in enumerate(kept)
        for second in kept[number + 1 :]
        if rank_of[id(first)] > rank_of[id(second)] and set(_keys(first)) & set(_keys(second))
    }


def _set_changes(old: Iterable[str], new: Iterable[str]) -> Iterator[TextChange]:
    before, after = dict.fromkeys(old), dict.fromkeys(new)
    yield from (TextChange("removed", text) for text in before if text not in after)
    yield from (TextChange("added", text) for text in after if text not in before)


def _line_changes(old: Sequence[str], new: Sequence[str]) -> Iterator[TextChange]:
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for operation, first, last, start, end in matcher.get_opcodes():
        if operation != "equal":
            yield from _texts("removed", old[first:last])
            yield from _texts("added", new[start:end])


def _texts(kind: Literal["added", "removed"], texts: Iterable[str]) -> tuple[TextChange, ...]:
    return tuple(TextChange(kind, text) for text in texts)


def _render(directive: DirectivePlan) -> tuple[str, ...]:
    return tuple(text for line in directive.lines for text in _render_line(line))


def _render_line(line: Line, depth: int = 0) -> Iterator[str]:
    indent = "    " * depth
    words = " ".join(_word(token) for token in (line.name, *line.args))
    if line.block is None:
        yield f"{indent}{words}"
        return
    yield f"{indent}{words} {{"
    for option in line.block:
        yield from _render_line(option, depth + 1)
    yield f"{indent}}}"


def _word(token: Token) -> str:
    text = token.text
    if text and not any(char.isspace() or char in '"#' for char in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _keys(block: BlockPlan) -> tuple[str, ...]:
    scheme = {key: "" if key.transport == "dns" else f"{key.transport}://" for key in block.keys}
    return tuple(dict.fromkeys(f"{scheme[key]}{key.zone}:{key.port}" for key in block.keys))


def _view(block: BlockPlan) -> str:
    view = block.directive(_VIEW)
    return str(getattr(view.options, "name", "")) if view is not None else ""


def _title(block: BlockPlan) -> str:
    view = _view(block)
    return " ".join((*_keys(block), *((_VIEW, view) if view else ())))


def _where(directive: DirectivePlan) -> str:
    return _place(directive.lines[0].name)


def _place(token: Token) -> str:
    return f"{token.file}:{token.line}"
