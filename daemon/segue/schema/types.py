"""A column's type as information_schema writes it, cut into its parts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class TypeText:
    """`decimal(10,2) unsigned` is base "decimal", numbers (10, 2), unsigned."""

    base: str
    numbers: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    """Of an ENUM or SET, in order."""
    unsigned: bool = False

    def number(self, at: int, otherwise: int) -> int:
        return self.numbers[at] if at < len(self.numbers) else otherwise


_SHAPE = re.compile(r"^([a-z0-9_]+)(?:\s*\((.*)\))?(.*)$", re.DOTALL)
_LABEL = re.compile(r"'((?:[^']|'')*)'")


@lru_cache(maxsize=4096)
def type_text(text: str) -> TypeText:
    """Cut a COLUMN_TYPE. Labels keep their case; everything else is lower case already."""
    match = _SHAPE.match(text.strip())
    if match is None:
        return TypeText(text)
    base, inside, rest = match[1], match[2] or "", match[3]
    if base in {"enum", "set"}:
        return TypeText(base, (), tuple(label.replace("''", "'") for label in _LABEL.findall(inside)))
    numbers = tuple(int(n) for n in re.findall(r"\d+", inside))
    # Old MySQL writes zerofill columns with their width; they are unsigned all the same.
    return TypeText(base, numbers, (), "unsigned" in rest or "zerofill" in rest)
