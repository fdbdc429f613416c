"""SQL text cut into tokens: as much of the lexical rules as telling what a DDL statement names.

Source of the rules: MySQL Reference Manual, "Language Structure"; MariaDB Knowledge Base, "Comment Syntax" and
"Identifier Names". Pure.

Versioned comments (`/*!80023 ... */`, `/*M!100200 ... */`) are text for a server that is new enough. Which server
ran the statement is not known here, so such a token is marked, unless its version is one that every server has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

ANSI_QUOTES: Final = 1 << 2
NO_BACKSLASH_ESCAPES: Final = 1 << 20
_EVERYWHERE: Final = 50600
"""`/*!` comments up to this version are run by every server that Segue knows, MariaDB's among them."""

_PARTS = r"""
    (?P<space>\s+ | --(?=[\s\x00-\x1f]|\Z)[^\n]* | \#[^\n]* | /\*(?!!|M!).*?\*/)
  | (?P<open>/\*M?!(?:\d{{5,6}})?)
  | (?P<close>\*/)
  | (?P<name>`(?:[^`]|``)+`{ansi_name})
  | (?P<string>'(?:[^'{back}]|''{escape})*'{plain_string})
  | (?P<word>[\w$@\x80-\U0010ffff]+)
  | (?P<mark>.)
"""


def _lexer(*, ansi: bool, backslash: bool) -> re.Pattern[str]:
    back = "\\\\" if backslash else ""
    escape = "|\\\\." if backslash else ""
    double = f'"(?:[^"{back}]|""{escape})*"'
    ansi_name = '|"(?:[^"]|"")+"'
    pattern = _PARTS.format(
        back=back, escape=escape, ansi_name=ansi_name if ansi else "", plain_string="" if ansi else "|" + double
    )
    return re.compile(pattern, re.VERBOSE | re.DOTALL)


_LEXERS: Final = {(a, b): _lexer(ansi=a, backslash=b) for a in (False, True) for b in (False, True)}


class Unclear(Exception):  # noqa: N818 - names a state of knowledge, caught within this room
    """The text cannot be told apart for certain."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text. `value` is a name without its quotes, a word in upper case, a mark as it stands."""

    kind: Literal["word", "name", "string", "mark"]
    value: str
    raw: str
    start: int
    end: int
    conditional: bool
    """Inside a comment that only some servers run."""

    @property
    def identifier(self) -> str | None:
        """The name, when this may be one."""
        if self.kind == "name":
            return self.value
        return self.raw if self.kind == "word" and "@" not in self.raw else None


def tokens(text: str, sql_mode: int = 0) -> list[Token]:
    """All tokens. Raises Unclear for an unfinished string, name or comment."""
    lexer = _LEXERS[bool(sql_mode & ANSI_QUOTES), not sql_mode & NO_BACKSLASH_ESCAPES]
    out: list[Token] = []
    inside: list[bool] = []
    for match in lexer.finditer(text):
        kind, raw = match.lastgroup, match.group()
        if kind == "space":
            continue
        if kind == "open":
            digits = raw.rpartition("!")[2]
            inside.append("M" in raw or bool(digits and int(digits) > _EVERYWHERE))
        elif kind == "close" and inside:
            inside.pop()
        elif kind in ("word", "name", "string"):
            value = raw.upper()
            if kind == "name":
                value = raw[1:-1].replace(raw[0] * 2, raw[0])
            out.append(Token(kind, value, raw, *match.span(), any(inside)))  # type: ignore[arg-type]
        elif raw in "`'\"" or raw == "*/" or text.startswith("/*", match.start()):
            raise Unclear(f"an unfinished quotation or comment at character {match.start()}")
        else:
            out.append(Token("mark", raw, raw, *match.span(), any(inside)))
    if inside:
        raise Unclear("an unfinished versioned comment")
    return out
