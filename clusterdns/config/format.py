# SPDX-License-Identifier: Apache-2.0
"""The one way to lay a Corefile out: four blanks a level, one between words, at most one empty line.

Only white space changes. Words stay in their lines, except that a ``{`` of a server block joins the line of its keys,
and what follows a brace gets a line of its own. Comments stay, behind their line or on their own.
"""

from __future__ import annotations

from clusterdns.config.lexer import BYTE_ORDER_MARK, Comment, Word, end_line, parse_lexemes
from clusterdns.config.parser import parse_document
from clusterdns.errors import ConfigErrors

_INDENT = "    "


def format_text(text: str, file: str = "Corefile") -> str:
    """The text in the standard layout; formatting it again changes nothing.

    Imports aren't followed. Raises ConfigErrors, with ``file`` in the positions, if the text can't be parsed.
    """
    lexemes = parse_lexemes(text, file)
    errors = parse_document(lexemes.tokens).errors
    if errors:
        raise ConfigErrors(errors)
    layout = _Layout()
    for item in lexemes.items:
        if isinstance(item, Word):
            layout.word(item)
        else:
            layout.comment(item)
    return layout.text()


class _Row:
    def __init__(self, depth: int, blank_before: bool) -> None:
        self.depth = depth
        self.blank_before = blank_before
        self.words: list[str] = []
        self.comment = ""

    @property
    def opens(self) -> bool:
        return bool(self.words) and self.words[-1] in ("{", '"{"')

    @property
    def closes(self) -> bool:
        return bool(self.words) and self.words[0] in ("}", '"}"')

    def text(self) -> str:
        return _INDENT * self.depth + " ".join([*self.words, self.comment] if self.comment else self.words)


class _Layout:
    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.row = _Row(0, False)
        self.depth = 0
        self.last_line = 0
        self.after_brace = False

    def word(self, word: Word) -> None:
        token = word.token
        starts = token.line > self.last_line
        if token.text == "}":
            self.depth = max(0, self.depth - 1)
            self.new_row(token.line)
        elif token.text == "{" and starts and self.depth == 0:
            self.join_keys()
        elif starts or self.after_brace:
            self.new_row(token.line)
        self.row.words.append(word.raw)
        self.after_brace = token.text in ("{", "}")
        self.depth += token.text == "{"
        self.last_line = end_line(token)

    def comment(self, comment: Comment) -> None:
        if comment.line > self.last_line or self.row.comment or self.row is not self.rows[-1]:
            self.new_row(comment.line)
        self.row.comment = comment.text
        self.last_line = comment.line

    def new_row(self, line: int) -> None:
        self.row = _Row(self.depth, line > self.last_line + 1)
        self.rows.append(self.row)

    def join_keys(self) -> None:
        """Comments between the keys and the brace become the first lines of the block."""
        for row in reversed(self.rows):
            if row.words:
                self.row = row
                return
            row.depth = 1

    def text(self) -> str:
        lines: list[str] = []
        previous: _Row | None = None
        for row in self.rows:
            if previous is not None and not row.closes and not previous.opens:
                ended = previous.closes and previous.depth == 0
                lines.extend([""] if row.blank_before or ended else [])
            lines.append(row.text())
            previous = row
        text = "".join(line + "\n" for line in lines)
        # A word may begin with this character; at the start of a file it would be taken for a mark and lost.
        return BYTE_ORDER_MARK + text if text.startswith(BYTE_ORDER_MARK) else text
