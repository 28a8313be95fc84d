# SPDX-License-Identifier: Apache-2.0
"""Go's fmt: Sprint, Sprintln and Sprintf, with a limit on the size of what they give.

Values are those of ``values``. Faults of a format are printed into the text as in Go: ``%!d(string=x)``,
``%!s(MISSING)``, ``%!(EXTRA int=1)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clusterdns.errors import ExpressionError
from clusterdns.expressions.formatting.verbs import Flags, format_scalar
from clusterdns.expressions.values import Function, Struct, type_name

_MAX_STAR = 1_000_000  # Go's bound for a width from an argument
_MAX_DEPTH = 64
_PLAIN = Flags()


def sprint(values: Sequence[object], limit: int) -> str:
    """All values in their default format, with spaces between those of which neither is a text.

    Raises ExpressionError if the result has more than ``limit`` characters.
    """
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    printer = _Printer(limit)
    after_text = True
    for value in values:
        is_text = isinstance(value, str)
        if not is_text and not after_text:
            printer.write(" ")
        printer.print(value, "v", _PLAIN)
        after_text = is_text
    return printer.text()


def sprintln(values: Sequence[object], limit: int) -> str:
    """All values in their default format, with spaces between and a newline behind them."""
    printer = _Printer(limit)
    for number, value in enumerate(values):
        if number:
            printer.write(" ")
        printer.print(value, "v", _PLAIN)
    printer.write("\n")
    return printer.text()


def sprintf(template: str, values: Sequence[object], limit: int) -> str:
    """``template`` with each verb replaced by a value."""
    return _Formatter(template, values, limit).run()


class _Printer:
    """Collects text up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._pieces: list[str] = []
        self._depth = 0

    def write(self, text: str) -> None:
        self._size += len(text)
        self.reserve(0)
        self._pieces.append(text)

    def reserve(self, size: int) -> None:
        """Raise ExpressionError unless ``size`` more characters fit."""
        if self._size + size > self._limit:
            raise ExpressionError(f"text of more than {self._limit} characters")

    def text(self) -> str:
        return "".join(self._pieces)

    def print(self, value: object, verb: str, flags: Flags) -> None:
        """One value by one verb."""
        if verb == "T":
            self.write(flags.pad(type_name(value)))
        elif value is None:
            self.write(flags.pad("<nil>") if verb == "v" else f"%!{verb}(<nil>)")
        elif isinstance(value, Struct):
            self._print_struct(value, verb, flags)
        elif isinstance(value, Mapping):
            pairs = sorted(value.items(), key=lambda item: str(item[0]))
            keys = (self._text_of(key, verb, flags) for key, _ in pairs)
            self._print_items(keys, [item for _, item in pairs], verb, flags, "map[]")
        elif isinstance(value, (list, tuple)):
            self._print_items(None, value, verb, flags, "[]")
        else:
            self.reserve(max(flags.width or 0, flags.precision or 0))
            text = format_scalar(value, verb, flags)
            if text is None:
                self.write(f"%!{verb}({type_name(value)}=")
                self.print(value, "v", flags)
                text = ")"
            self.write(text)

    def _print_struct(self, value: Struct, verb: str, flags: Flags) -> None:
        if value.text is not None and verb in "vsxXq":
            self.print(value.text(), verb, flags)
            return
        fields = {name: field for name, field in value.fields.items() if not isinstance(field, Function)}
        self._print_items(iter(fields) if flags.named else None, list(fields.values()), verb, flags, "{}")

    def _text_of(self, value: object, verb: str, flags: Flags) -> str:
        printer = _Printer(self._limit)
        printer.print(value, verb, flags)
        return printer.text()

    def _print_items(
        self, names: Iterator[str] | None, items: Sequence[object], verb: str, flags: Flags, brackets: str
    ) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpressionError("value nests too deeply to be printed")
        self.write(brackets[:-1])
        for number, item in enumerate(items):
            if number:
                self.write(" ")
            if names is not None:
                self.write(next(names) + ":")
            self.print(item, verb, flags)
        self.write(brackets[-1])
        self._depth -= 1


class _Formatter:
    """One Sprintf: where it is in the format and which value is next."""

    def __init__(self, template: str, values: Sequence[object], limit: int) -> None:
        self._template = template
        self._values = values
        self._printer = _Printer(limit)
        self._at = 0
        self._next = 0
        self._reordered = False
        self._index_is_good = True
        self._after_index = False

    def run(self) -> str:
        template = self._template
        while True:
            percent = template.find("%", self._at)
            if percent < 0:
                break
            self._printer.write(template[self._at : percent])
            self._at = percent + 1
            self._verb()
        self._printer.write(template[self._at :])
        if not self._reordered and self._next < len(self._values):
            self._print_extra()
        return self._printer.text()

    def _verb(self) -> None:
        self._index_is_good = True
        self._after_index = False
        flags = self._flags()
        self._argument_index()
        flags = self._width(flags)
        flags = self._precision(flags)
        if not self._after_index:
            self._argument_index()
        verb = self._template[self._at : self._at + 1]
        if not verb:
            self._printer.write("%!(NOVERB)")
            return
        self._at += 1
        if verb == "%":
            self._printer.write("%")
        elif not self._index_is_good:
            self._printer.write(f"%!{verb}(BADINDEX)")
        elif self._next >= len(self._values):
            self._printer.write(f"%!{verb}(MISSING)")
        else:
            value = self._values[self._next]
            self._next += 1
            self._printer.print(value, verb, flags.for_any() if verb == "v" else flags)

    def _flags(self) -> Flags:
        start = self._at
        while self._template[self._at : self._at + 1] in ("#", "0", "+", "-", " "):
            self._at += 1
        seen = self._template[start : self._at]
        return Flags(minus="-" in seen, plus="+" in seen, sharp="#" in seen, space=" " in seen, zero="0" in seen)

    def _argument_index(self) -> None:
        """``[n]`` before a verb or a ``*``: which value comes next."""
        if self._template[self._at : self._at + 1] != "[":
            return
        self._reordered = True
        closing = self._template.find("]", self._at)
        if closing < 0:
            self._index_is_good = False
            self._at += 1
            return
        digits = self._template[self._at + 1 : closing]
        self._at = closing + 1
        if digits.isascii() and digits.isdecimal() and len(digits) < 8 and 1 <= int(digits) <= len(self._values):
            self._next = int(digits) - 1
            self._after_index = True
        else:
            self._index_is_good = False

    def _number(self) -> int | None:
        start = self._at
        while "0" <= self._template[self._at : self._at + 1] <= "9":
            self._at += 1
        digits = self._template[start : self._at]
        if not digits:
            return None
        # More digits than fit any limit: the text is refused when it is padded.
        return int(digits[:9])

    def _star(self) -> int | None:
        """The value for a ``*``, None if it is no sensible number."""
        self._at += 1
        value = self._values[self._next] if self._next < len(self._values) else None
        self._next = min(self._next + 1, len(self._values))
        self._after_index = False
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_STAR:
            return value
        return None

    def _width(self, flags: Flags) -> Flags:
        if self._template[self._at : self._at + 1] == "*":
            width = self._star()
            if width is None:
                self._printer.write("%!(BADWIDTH)")
                return flags
            return flags.with_width(width)
        number = self._number()
        if number is None:
            return flags
        if self._after_index:  # "%[3]2d"
            self._index_is_good = False
        return flags.with_width(number)

    def _precision(self, flags: Flags) -> Flags:
        if self._template[self._at : self._at + 1] != ".":
            return flags
        self._at += 1
        if self._after_index:  # "%[3].2d"
            self._index_is_good = False
        self._argument_index()
        if self._template[self._at : self._at + 1] == "*":
            precision = self._star()
            if precision is None or precision < 0:
                self._printer.write("%!(BADPREC)")
                return flags
            return flags.with_precision(precision)
        return flags.with_precision(self._number() or 0)

    def _print_extra(self) -> None:
        self._printer.write("%!(EXTRA ")
        for number, value in enumerate(self._values[self._next :]):
            if number:
                self._printer.write(", ")
            if value is None:
                self._printer.write("<nil>")
            else:
                self._printer.write(f"{type_name(value)}=")
                self._printer.print(value, "v", _PLAIN)
        self._printer.write(")")
