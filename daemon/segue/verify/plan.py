"""One table as SQL on both sides: the hash of a row, the key that names it, ranges of the key. Pure.

The hash is the first 64 bits of the SHA-256 of the row's bytes (expressions.py), and a chunk is compared by the number
of its rows and the exact sum of their hashes. Unlike the XOR of CRC32, which is linear, a sum of these does not cancel
when two rows exchange a value or a row is there twice: that two different chunks have equal sums has odds of one in
2^64. MD5 and SHA1 are gone from MySQL 9.6; SHA2 is in every version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from segue.flavour import Flavour
from segue.schema import Pair, Table, TableMapping
from segue.sql import name
from segue.verify.expressions import INTEGERS, LABELS, Carrier, Field, Incomparable, base, fields, literal

KeyValue = tuple[str | bytes | None, ...]
"""The values that name a row, in the key's order; of a table without key, its hash."""
Made = dict[str, tuple[Pair, tuple[Field, Field]]]
"""By the source's column name, in the order of the target's columns."""
_BINARY_ORDER: Final = ("_bin", "binary")


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One column of the key on one side."""

    column: str
    compare: str
    """SQL that is compared and ordered by."""
    ident: str
    carrier: Carrier
    charset: str

    def literal(self, value: str | bytes | None) -> str:
        return literal(self.carrier, self.charset, value)


@dataclass(frozen=True, slots=True)
class End:
    """The table on one side."""

    table: tuple[str, str]
    """(schema, table)."""
    sql: str
    index: str
    """FORCE INDEX clause for reading in the key's order, or nothing."""
    fields: tuple[Field, ...]
    key: tuple[KeyPart, ...]
    generated: frozenset[str]
    """Columns that the server computes."""

    @property
    def name(self) -> str:
        """As people write it."""
        return ".".join(self.table)

    @property
    def hash(self) -> str:
        parts = [f.head for f in self.fields if not f.document] + [f.body for f in self.fields if f.body is not None]
        return f"CAST(CONV(LEFT(SHA2(CONCAT_WS('#', {', '.join(parts)}), 256), 16), 16, 10) AS UNSIGNED)"

    def bucket(self, count: int) -> str:
        """SQL of the bucket, of `count` (a power of two), that a row falls into: the same on both sides."""
        if not self.key:
            return f"({self.hash} & {count - 1})"
        return f"(CRC32(CONCAT_WS('#', {', '.join(k.ident for k in self.key)})) & {count - 1})"

    def within(self, low: KeyValue | None, high: KeyValue | None) -> str:
        """Rows with low < key <= high; None is the end of the table."""
        shared = 0
        if low is not None and high is not None:
            while shared < len(self.key) - 1 and low[shared] == high[shared]:
                shared += 1
        parts = [self._equals(n, low[n]) for n in range(shared)] if low is not None else []
        if low is not None:
            parts.append(self._beyond(low, shared, ">"))
        if high is not None:
            parts.append(self._beyond(high, shared, "<"))
        return " AND ".join(parts) or "TRUE"

    def _equals(self, number: int, value: str | bytes | None) -> str:
        part = self.key[number]
        return f"{part.compare} = {part.literal(value)}"

    def _beyond(self, value: KeyValue, first: int, sign: str) -> str:
        """Key behind `value` (sign >), or up to it and with it (sign <), by the columns from `first` on."""
        part, last = self.key[first], first == len(self.key) - 1
        text = part.literal(value[first])
        if last:
            return f"{part.compare} {'<=' if sign == '<' else sign} {text}"
        deeper = self._beyond(value, first + 1, sign)
        return f"({part.compare} {sign} {text} OR ({part.compare} = {text} AND {deeper}))"

    def is_one_of(self, keys: Sequence[KeyValue]) -> str:
        """Rows named by these keys (by their hash in a table without key)."""
        if not self.key:
            return f"{self.hash} IN ({', '.join(str(k[0]) for k in keys)})"
        if len(self.key) == 1:
            part = self.key[0]
            return f"{part.compare} IN ({', '.join(part.literal(k[0]) for k in keys)})"
        rows = (" AND ".join(self._equals(n, v) for n, v in enumerate(k)) for k in keys)
        return " OR ".join(f"({row})" for row in rows)

    @property
    def order(self) -> str:
        return ", ".join(k.compare for k in self.key)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one table is compared."""

    source: End
    target: End
    ranged: bool
    """Whether ranges of the key mean the same rows on both sides, so that it can be cut into chunks."""
    left_out: tuple[str, ...]
    """What is not compared, in sentences."""

    @property
    def ends(self) -> tuple[End, End]:
        return self.source, self.target

    @property
    def documents(self) -> tuple[int, ...]:
        """Numbers of the fields that Segue compares itself."""
        return tuple(n for n, f in enumerate(self.source.fields) if f.document)

    @property
    def keyed(self) -> bool:
        return bool(self.source.key)

    def named(self, key: KeyValue) -> dict[str, str | bytes | None]:
        """A key as {column: value}, by the source's names."""
        columns = [k.column for k in self.source.key] or ["row_hash"]
        return dict(zip(columns, key, strict=True))


def as_text(key: dict[str, str | bytes | None]) -> dict[str, str | None]:
    """A named key for documents, which hold no bytes."""
    return {c: v.decode("utf-8", "backslashreplace") if isinstance(v, bytes) else v for c, v in key.items()}


def make_plan(source: Table, target: Table, mapping: TableMapping, ends: tuple[Flavour, Flavour]) -> Plan:
    """How these two tables are compared. Raises Incomparable with the reason."""
    match = mapping.match(source, target)
    if match.missing:
        raise Incomparable(f"column {', '.join(c.name for c in match.missing)} has no counterpart on the target")
    left_out = [f"column {c.name} is not carried" for c in match.dropped]
    left_out += [f"column {c.name} is only on the target" for c in match.added]
    made: Made = {}
    for pair in match.pairs:
        lower = pair.source.name.lower()
        if lower in mapping.lossy and pair.source.type != pair.target.type:
            left_out.append(f"column {pair.source.name} may lose something by allow_lossy")
            continue
        try:
            made[lower] = (pair, fields(pair.source, pair.target, ends))
        except Incomparable as why:
            raise Incomparable(f"column {pair.source.name}: {why}") from None
    if not made:
        raise Incomparable("no column of it is compared")
    key, index, target_index = _key(source, target, made)
    if not key and any(f.document for _, (f, _) in made.values()):
        raise Incomparable("JSON of two kinds can be compared only in a table with a key")
    ranged = bool(key) and all(_same_order(made[c][0], ends) for c in key) and not _is_label(made[key[0]][0])
    sides = []
    for number, (table, chosen) in enumerate(((source, index), (target, target_index))):
        parts = tuple(_part(made[c][1][number], made[c][0]) for c in key)
        force = f" FORCE INDEX ({name(chosen)})" if key else ""
        end_fields = tuple(m[1][number] for m in made.values())
        generated = frozenset(c.name.lower() for c in table.columns if c.generated)
        sides.append(End((table.schema, table.name), name(table.schema, table.name), force, end_fields, parts, generated))
    return Plan(sides[0], sides[1], ranged, tuple(left_out))


def _key(source: Table, target: Table, made: Made) -> tuple[tuple[str, ...], str, str]:
    """The columns of a unique key without NULL that both sides have, and its name on each; empty when there is none."""
    nullable = {c.name.lower() for c in source.columns if c.nullable}
    there = {tuple(c.lower() for c in k.columns): k.name for k in target.keys}
    for key in sorted(source.keys, key=lambda k: k.name != "PRIMARY"):
        columns = tuple(c.lower() for c in key.columns)
        if nullable & set(columns) or not all(c in made for c in columns):
            continue
        on_target = there.get(tuple(made[c][0].target.name.lower() for c in columns))
        if on_target is not None:
            return columns, key.name, on_target
    return (), "", ""


def _part(field: Field, pair: Pair) -> KeyPart:
    compare = name(field.column) + (" + 0" if _is_label(pair) else "")
    return KeyPart(field.column, compare, field.ident, field.carrier, field.ident_charset)


def _is_label(pair: Pair) -> bool:
    return base(pair.source) in LABELS or base(pair.target) in LABELS


def _same_order(pair: Pair, ends: tuple[Flavour, Flavour]) -> bool:
    """Whether both servers put values of this column in the same order and hold the same ones for equal."""
    one, two = pair.source, pair.target
    if one.collation is None and two.collation is None:
        kinds = {base(one), base(two)}
        return kinds <= INTEGERS or (len(kinds) == 1 and (ends[0].name == ends[1].name or "uuid" not in kinds))
    if _is_label(pair):
        return one.type == two.type
    if one.collation != two.collation or one.charset != two.charset:
        return False
    return ends[0].name == ends[1].name or (one.collation or "").endswith(_BINARY_ORDER)
