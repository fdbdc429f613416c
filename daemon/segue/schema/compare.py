"""The comparison of two table definitions, and of a table map with a definition. Pure.

For now only tables whose row images mean the same on both sides are replicated; what is only about new rows
(defaults) or about speed (secondary keys) may differ. Issue B's carried and lossy differences fit in as
further severities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from segue.binlog.rows import TableMap
from segue.schema.catalogue import Column, Table


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which two tables differ."""

    severity: Literal["blocks", "warns"]
    sentence: str


def compare(source: Table, target: Table | None) -> list[Difference]:
    """Differences that matter to row events, each naming table, column and both definitions."""
    name = source.full_name
    if target is None:
        return [Difference("blocks", f"table {name} does not exist on the target")]
    found: list[Difference] = []
    here = [c.name.lower() for c in source.columns]
    there = [c.name.lower() for c in target.columns]
    if here != there:
        only_here = [c for c in here if c not in there]
        only_there = [c for c in there if c not in here]
        if only_here:
            found.append(Difference("blocks", f"{name}: column {', '.join(only_here)} is missing on the target"))
        if only_there:
            found.append(Difference("blocks", f"{name}: column {', '.join(only_there)} exists only on the target"))
        if not only_here and not only_there:
            found.append(
                Difference("blocks", f"{name}: the columns' order differs, ({', '.join(here)}) and ({', '.join(there)})")
            )
        return found
    for one, two in zip(source.columns, target.columns, strict=True):
        found += _column(name, one, two)
    mine, theirs = {k.columns for k in source.keys}, {k.columns for k in target.keys}
    if (source.primary and source.primary.columns) != (target.primary and target.primary.columns):
        found.append(
            Difference("blocks", f"{name}: the primary key is {_key(source)} on the source and {_key(target)} on the target")
        )
    elif mine != theirs:
        extra = [f"({', '.join(c)})" for c in sorted(mine ^ theirs)]
        found.append(Difference("blocks", f"{name}: unique key {', '.join(extra)} exists on one side only"))
    return found


def _key(table: Table) -> str:
    return f"({', '.join(table.primary.columns)})" if table.primary else "none"


def _column(name: str, one: Column, two: Column) -> list[Difference]:
    what = [
        (one.type, two.type),
        (one.collation or one.charset, two.collation or two.charset),
        ("NULL" if one.nullable else "NOT NULL", "NULL" if two.nullable else "NOT NULL"),
        (one.extra, two.extra),
        (one.generated, two.generated),
    ]
    different = [(a or "nothing", b or "nothing") for a, b in what if a != b]
    found = [
        Difference("blocks", f"{name}.{one.name} is {a} on the source and {b} on the target") for a, b in different
    ]
    if one.default != two.default and not found:
        sentence = f"{name}.{one.name} has default {one.default} on the source and {two.default} on the target"
        found.append(Difference("warns", sentence))
    return found


_TYPES: Final = {
    "tinyint": {1}, "smallint": {2}, "int": {3}, "float": {4}, "double": {5}, "bigint": {8}, "mediumint": {9},
    "date": {10, 14}, "year": {13}, "bit": {16}, "timestamp": {7, 17}, "datetime": {12, 18}, "time": {11, 19},
    "json": {245}, "decimal": {0, 246}, "enum": {247, 254}, "set": {248, 254}, "varchar": {15, 253}, "varbinary": {15, 253},
    "char": {254}, "binary": {254}, "vector": {242, 252}, "uuid": {254}, "inet6": {254}, "inet4": {254},
}  # fmt: skip
"""Type bytes of a table map by data type; the blob family is 252 throughout."""
_BLOBS: Final = frozenset({249, 250, 251, 252})
_GEOMETRY: Final = 255


def fits(event: TableMap, table: Table) -> list[str]:
    """Why rows written under `event` cannot be given to `table` as they are; empty when they can.

    The event carries the definition of its own time, which need not be today's.
    """
    name = table.full_name
    if event.columns != len(table.columns):
        return [f"{name}: the event has {event.columns} columns, the target has {len(table.columns)}"]
    problems = []
    names = event.names or tuple(c.name for c in table.columns)
    for column, seen, code in zip(table.columns, names, event.types, strict=True):
        if seen.lower() != column.name.lower():
            problems.append(f"{name}: the event has column {seen} where the target has {column.name}")
            continue
        base = column.type.split("(", 1)[0].split(" ", 1)[0]
        wanted = _TYPES.get(base)
        if wanted is None:
            wanted = {_GEOMETRY} if code == _GEOMETRY else set(_BLOBS)
        if code not in wanted:
            problems.append(f"{name}.{column.name} is {column.type} on the target, the event has type {code}")
    return problems
