"""A table's definition taken apart: what it needs to take rows, and what is added when they are there. Pure.

Works on the text of SHOW CREATE TABLE, so that partitions, row formats, comments and whatever a version has to say
come through as they are. Source of its form: the servers' own output, one item per definition between parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_SECONDARY: Final = re.compile(r"(UNIQUE |FULLTEXT |SPATIAL |VECTOR )?(KEY|INDEX) ", re.IGNORECASE)
_FOREIGN: Final = re.compile(r"(CONSTRAINT `(?:[^`]|``)*` )?FOREIGN KEY ", re.IGNORECASE)
_PRIMARY: Final = re.compile(r"(CONSTRAINT `(?:[^`]|``)*` )?PRIMARY KEY", re.IGNORECASE)
_COUNTER: Final = re.compile(r" AUTO_INCREMENT=\d+")
_PARENT: Final = re.compile(r"(?:(`(?:[^`]|``)*`)\.)?(`(?:[^`]|``)*`)")
_NAME: Final = re.compile(r"`((?:[^`]|``)*)`")
ParentOf = Callable[[str | None, str], tuple[str | None, dict[str, str]]]
"""Of a foreign key's (schema or None for its own, table): the quoted name that it has there, None for the same, and
how its columns are renamed."""


@dataclass(frozen=True, slots=True)
class Definition:
    """`head` is CREATE TABLE up to its name; `items` the columns, keys and constraints; `tail` the options."""

    items: tuple[str, ...]
    tail: str

    @classmethod
    def parse(cls, text: str) -> Definition:
        """Raises ValueError for what is no CREATE TABLE statement."""
        found = re.match(r"CREATE TABLE `(?:[^`]|``)*` \(", text)
        if found is None:
            raise ValueError("not the definition of a table")
        items, at = _items(text, found.end())
        return cls(tuple(items), text[at:])

    @classmethod
    def parse_create(cls, text: str) -> Definition:
        """Of what `create` made, whose name has a schema."""
        return cls.parse(re.sub(r"^CREATE TABLE `(?:[^`]|``)*`\.`", "CREATE TABLE `", text))

    def bare(self, keep: str | None) -> Definition:
        """Without secondary keys and foreign keys, but with key `keep` and the one AUTO_INCREMENT needs."""
        needed = self._counted()
        kept = tuple(
            i for i in self.items
            if not _FOREIGN.match(i) and (not _SECONDARY.match(i) or _key_name(i) == keep or i == needed)
        )  # fmt: skip
        return Definition(kept, self.tail)

    def keys(self, keep: str | None) -> list[str]:
        """What `bare` left out of keys, as items."""
        left = self.bare(keep).items
        return [i for i in self.items if _SECONDARY.match(i) and i not in left]

    def foreign(self) -> list[str]:
        """The foreign keys, as items."""
        return [i for i in self.items if _FOREIGN.match(i)]

    def create(self, target: str) -> str:
        """The statement that makes a table of this definition; `target` is a quoted name."""
        body = ",\n  ".join(self.items)
        return f"CREATE TABLE {target} (\n  {body}\n{self.tail}"

    def renamed(self, renamed: dict[str, str], without: frozenset[str], parent: ParentOf) -> Definition:
        """With columns renamed (lower-case old -> new) and others left out, and foreign keys to where `parent` says.

        Keys and constraints keep their own names. Raises ValueError when one needs a column that is left out.
        """
        items = []
        for item in self.items:
            column = _column_name(item)
            if column is not None and column.lower() in without:
                continue
            if column is None:
                own = item.partition("(")[2].partition(" REFERENCES ")[0]
                if {n.lower() for n in _NAME.findall(own)} & without:
                    raise ValueError(f"'{item}' needs a column that is not carried")
            items.append(_item_renamed(item, renamed, parent))
        head, mark, partitions = self.tail.partition("PARTITION BY ")
        return Definition(tuple(items), head + mark + _names(partitions, renamed))

    def said(self, say: Callable[[str], str]) -> Definition:
        """With each item and the options in other words."""
        return Definition(tuple(say(i) for i in self.items), say(self.tail))

    def fingerprint(self) -> str:
        """The same for the same definition, whatever the AUTO_INCREMENT counter is."""
        return "\n".join(self.items) + _COUNTER.sub("", self.tail)

    def _counted(self) -> str | None:
        """The secondary key that the AUTO_INCREMENT column needs, when the primary key does not begin with it."""
        column = next((_column_name(i) for i in self.items if _column_name(i) and " AUTO_INCREMENT" in i.upper()), None)
        if column is None:
            return None
        for item in self.items:
            if (_PRIMARY.match(item) or _SECONDARY.match(item)) and _first_column(item) == column:
                return None if _PRIMARY.match(item) else item
        return None


def _names(text: str, renamed: dict[str, str]) -> str:
    return _NAME.sub(lambda m: f"`{renamed.get(m[1].lower(), m[1])}`", text) if renamed else text


def _item_renamed(item: str, renamed: dict[str, str], parent: ParentOf) -> str:
    if item.startswith("`"):
        return _names(item, renamed)
    # The name of a key, which may be a column's, is what it is walked by.
    head, mark, rest = item.partition("(")
    if not _FOREIGN.match(item):
        return head + mark + _names(rest, renamed)
    own, references, there = rest.partition(" REFERENCES ")
    found = _PARENT.match(there)
    if found is None:
        raise ValueError(f"'{item}' is not understood")
    target, theirs = parent(_plain(found[1]), _plain(found[2]) or "")
    behind = there[found.end() :]
    columns, close, actions = behind.partition(")")
    return head + mark + _names(own, renamed) + references + (target or found[0]) + _names(columns, theirs) + close + actions


def _plain(quoted: str | None) -> str | None:
    return quoted[1:-1].replace("``", "`") if quoted else None


def key_name(item: str) -> str | None:
    """The name of a key or constraint; None for one that has none."""
    return _key_name(item)


def additions(items: list[str]) -> list[str]:
    """ALTER TABLE clauses, in as few statements as the servers take: FULLTEXT and SPATIAL keys each by itself."""
    alone = [i for i in items if re.match(r"(FULLTEXT|SPATIAL|VECTOR) ", i, re.IGNORECASE)]
    together = [i for i in items if i not in alone]
    out = [", ".join(f"ADD {i}" for i in together)] if together else []
    return out + [f"ADD {i}" for i in alone]


def _key_name(item: str) -> str | None:
    found = _NAME.search(item.split("(", 1)[0])
    return found[1].replace("``", "`") if found else None


def _column_name(item: str) -> str | None:
    found = _NAME.match(item)
    return found[1].replace("``", "`") if found else None


def _first_column(item: str) -> str | None:
    found = _NAME.match(item.partition("(")[2])
    return found[1].replace("``", "`") if found else None


def _items(text: str, at: int) -> tuple[list[str], int]:
    """Split at commas outside quotes and parentheses, up to the closing one; the items, and where that is."""
    items: list[str] = []
    begin, depth = at, 0
    while at < len(text):
        char = text[at]
        if char in "'\"`":
            at = _behind_quote(text, at)
            continue
        if char == "(":
            depth += 1
        elif char == ")" and depth:
            depth -= 1
        elif char == ")" or (char == "," and not depth):
            items.append(text[begin:at].strip())
            begin = at + 1
            if char == ")":
                return items, at
        at += 1
    raise ValueError("the definition of a table has no end")


def _behind_quote(text: str, at: int) -> int:
    mark = text[at]
    at += 1
    while at < len(text):
        if text[at] == "\\" and mark != "`":
            at += 2
        elif text[at] == mark:
            if text[at : at + 2] != mark * 2:
                return at + 1
            at += 2
        else:
            at += 1
    raise ValueError("a quote in the definition of a table has no end")
