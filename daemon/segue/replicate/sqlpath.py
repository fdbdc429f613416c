"""Row events applied by statements: for what bytes cannot do, and for targets that do not permit BINLOG. Pure.

Rules (why: docs/compatibility.md): no REPLACE and no ON DUPLICATE KEY, which hide a divergence; every statement says
how many rows it must find, and another number is a divergence; FLOAT is never compared; generated columns are left
to the server; a column that updates itself is held still. Session settings are in SESSION, and foreign keys follow
the event's flag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from segue.binlog.batch import Run
from segue.binlog.columns import Column as Wire
from segue.binlog.events import BinlogError, DoesNotFit
from segue.binlog.images import ABSENT, DELETES, UPDATES, WRITES, Head, Layout, Slices
from segue.binlog.rows import TableMap
from segue.binlog.transcode import Step, Unfit, rewriter
from segue.replicate.assembler import Stop
from segue.replicate.literals import Literal, literal
from segue.schema.catalogue import Column, Table
from segue.schema.compare import Comparison
from segue.schema.convert import TEXT
from segue.schema.shape import GEOMETRIES, base_of, wire
from segue.sql import name

SESSION: Final = (
    b"SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,"
    b"NO_ENGINE_SUBSTITUTION'"
)
"""Zero dates and what else a lax sql_mode let in on the source must be taken; nothing may be changed in silence."""
NO_FOREIGN_KEY_CHECKS: Final = 0x2
MANY_BYTES: Final = 500_000
MANY_ROWS: Final = 1000
_NEVER_COMPARED: Final = frozenset({"float", "json", "vector", *GEOMETRIES})
_NEVER_A_KEY: Final = _NEVER_COMPARED | {"double"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement and how many rows it must match or insert."""

    text: bytes
    rows: int
    what: str
    """What it does, for people: `UPDATE of shop.users where id = 7`."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One column of the target that takes its value from the event."""

    name: bytes
    source: int
    literal: Literal
    on_null: Literal
    """What stands for NULL; raises Unfit where the target takes none."""
    index: int


class SqlTable:
    """A table of the target that is written by statements, as one definition of the source has it."""

    tail = b""
    """As a `batch.Destination`: nothing for BINLOG."""

    def __init__(self, event: TableMap, comparison: Comparison) -> None:
        target = comparison.target
        assert target is not None
        self.schema, self.table = target.schema, target.name
        self._layout = Layout(event)
        self._source = comparison.source
        self._target = target
        self._name = name(target.schema, target.name).encode()
        self._writes: list[_Write] = []
        self._constants: list[tuple[bytes, bytes]] = []
        for index, step in sorted(comparison.steps.items()):
            # What both sides generate is in the image too, but no statement may give it.
            if index not in comparison.computed and not target.columns[index].generated:
                self._column(index, step, comparison, event)
        self._still = [(w.index, _quoted(c)) for w, c in self._all_writes(target) if c.on_update]
        self._still += [(-1, _quoted(c)) for c in target.columns if c.on_update and c.name not in self._written(target)]
        self._key = self._choose_key(target)

    def _all_writes(self, target: Table) -> Iterator[tuple[_Write, Column]]:
        return ((w, target.columns[w.index]) for w in self._writes)

    def _written(self, target: Table) -> set[str]:
        return {target.columns[w.index].name for w in self._writes}

    def _column(self, index: int, step: Step, comparison: Comparison, event: TableMap) -> None:
        column = self._target.columns[index]
        quoted = _quoted(column)
        if step.source is None:
            if step.constant is not None:
                self._constants.append((quoted, literal(column)(step.constant)))
            return
        source = comparison.source.columns[step.source]
        if index in comparison.by_server:
            made = literal(source, _completed(source, event, step.source))
        elif step.plain:
            made = literal(column)
        else:
            change, shown = rewriter(step, event.described), literal(column)
            made = _chain(change, shown)
        self._writes.append(_Write(quoted, step.source, made, _on_null(step, column), index))

    def _choose_key(self, target: Table) -> list[_Write]:
        """Columns that tell one row: a unique key of the target, all carried and never NULL. Empty when there is none."""
        by_name = {target.columns[w.index].name.lower(): w for w in self._writes}
        for key in sorted(target.keys, key=lambda k: k.name != "PRIMARY"):
            columns = [target.column(n) for n in key.names]
            if any("(" in c for c in key.columns) or any(c is None or c.nullable or base_of(c) in _NEVER_A_KEY for c in columns):
                continue
            if all(n in by_name for n in key.names):
                return [by_name[n] for n in key.names]
        return []

    def statements(self, run: Run) -> Iterator[Statement]:
        """The statements for one run of row events. Raises Stop, and BinlogError for bytes that are no rows."""
        head, _ = Head.parse(run.kind, run.head)
        rows = b"".join(run.rows)
        found = self._layout.slices(run.kind, head, rows)
        try:
            if run.kind in WRITES:
                yield from self._inserts(rows, [after for _, after in found if after is not None])
            elif run.kind in DELETES:
                yield from self._deletes(rows, [before for before, _ in found if before is not None])
            elif run.kind in UPDATES:
                for before, after in found:
                    assert before is not None
                    assert after is not None
                    yield self._update(rows, before, after)
            else:
                raise BinlogError(f"row events of type {run.kind} are not understood")
        except Unfit as unfit:
            raise Stop(f"{self._source.full_name}.{unfit.column}: a value does not fit {self.schema}.{self.table}: {unfit}",
                       mend="Change the value on the source or the column on the target, or allow_lossy") from None  # fmt: skip
        except DoesNotFit as error:
            raise Stop(f"{self._source.full_name}: {error}") from None

    def _value(self, write: _Write, rows: bytes, image: Slices) -> bytes:
        place = image[write.source]
        if place is None:
            return write.on_null(b"")
        if place is ABSENT:
            raise Stop(f"a row event of {self._source.full_name} lacks column {self._source.columns[write.source].name}",
                       mend="SET GLOBAL binlog_row_image = FULL; on the source, for running sessions too")  # fmt: skip
        return write.literal(rows[place[0] : place[1]])

    def _inserts(self, rows: bytes, images: list[Slices]) -> Iterator[Statement]:
        if not images:
            return
        here = [w for w in self._writes if images[0][w.source] is not ABSENT]
        columns = [w.name for w in here] + [n for n, _ in self._constants]
        tail = [value for _, value in self._constants]
        start = b"INSERT INTO " + self._name + b" (" + b", ".join(columns) + b") VALUES "
        parts: list[bytes] = []
        size = 0
        for image in images:
            part = b"(" + b", ".join([self._value(w, rows, image) for w in here] + tail) + b")"
            if parts and (size + len(part) > MANY_BYTES or len(parts) == MANY_ROWS):
                yield Statement(start + b", ".join(parts), len(parts), self._what("INSERT into"))
                parts, size = [], 0
            parts.append(part)
            size += len(part)
        yield Statement(start + b", ".join(parts), len(parts), self._what("INSERT into"))

    def _deletes(self, rows: bytes, images: list[Slices]) -> Iterator[Statement]:
        start = b"DELETE FROM " + self._name + b" WHERE "
        if len(self._key) != 1:
            for image in images:
                where, what = self._where(rows, image)
                yield Statement(start + where, 1, self._what("DELETE from", what))
            return
        key = self._key[0]
        for at in range(0, len(images), MANY_ROWS):
            values = [self._value(key, rows, image) for image in images[at : at + MANY_ROWS]]
            listed = b" = " + values[0] if len(values) == 1 else b" IN (" + b", ".join(values) + b")"
            what = f"{_text(key.name)} in {_text(b', '.join(values[:5]))}"
            yield Statement(start + key.name + listed, len(values), self._what("DELETE from", what))

    def _update(self, rows: bytes, before: Slices, after: Slices) -> Statement:
        changed = [w for w in self._writes if after[w.source] is not ABSENT and not _same(rows, before[w.source], after[w.source])]
        touched = {w.index for w in changed}
        sets = [w.name + b" = " + self._value(w, rows, after) for w in changed]
        sets += [n + b" = " + n for index, n in self._still if index not in touched]
        where, what = self._where(rows, before)
        if not sets:  # nothing that the target has was changed; the row must be there all the same
            some = (self._key or self._writes)[0].name
            sets = [some + b" = " + some]
        text = b"UPDATE " + self._name + b" SET " + b", ".join(sets) + b" WHERE " + where
        return Statement(text, 1, self._what("UPDATE of", what))

    def _where(self, rows: bytes, image: Slices) -> tuple[bytes, str]:
        if self._key:
            terms = [w.name + b" = " + self._value(w, rows, image) for w in self._key]
            where = b" AND ".join(terms)
            return where, _text(where)
        terms = []
        for write in self._writes:
            column = self._target.columns[write.index]
            if base_of(column) in _NEVER_COMPARED or image[write.source] is ABSENT:
                continue
            value = self._value(write, rows, image)
            if base_of(column) in TEXT and value != b"NULL":
                charset = (column.charset or "utf8mb4").encode()
                terms.append(b"CAST(%s AS BINARY) <=> CAST(CONVERT(%s USING %s) AS BINARY)" % (write.name, value, charset))
            else:
                terms.append(write.name + b" <=> " + value)
        where = b" AND ".join(terms) or b"TRUE"
        return where + b" LIMIT 1", _text(where)

    def _what(self, verb: str, where: str = "") -> str:
        return f"{verb} {self.schema}.{self.table}" + (f" where {where}" if where else "")


def session_for(flags: int) -> bytes:
    """Foreign keys are checked, and cascade, as the event says."""
    return b"SET SESSION foreign_key_checks = " + (b"0" if flags & NO_FOREIGN_KEY_CHECKS else b"1")


def _quoted(column: Column) -> bytes:
    return name(column.name).encode()


def _completed(source: Column, event: TableMap, index: int) -> Wire:
    """The event's column with what only a catalogue tells."""
    made = wire(source)
    return replace(event.described[index], unsigned=made.unsigned, charset=made.charset, kind=made.kind)


def _chain(change: Callable[[bytes], bytes], shown: Literal) -> Literal:
    return lambda data: shown(change(data))


def _on_null(step: Step, column: Column) -> Literal:
    if step.instead_of_null is not None:
        given = literal(column)(step.instead_of_null)
        return lambda _data: given
    if step.refuses_null:

        def refuse(_data: bytes) -> bytes:
            raise Unfit(step.name, "it is NULL, and the target's column is NOT NULL", 0, "")

        return refuse
    return lambda _data: b"NULL"


def _same(rows: bytes, one: object, two: object) -> bool:
    if one is None or two is None or one is ABSENT:
        return one is two
    return rows[one[0] : one[1]] == rows[two[0] : two[1]]  # type: ignore[index]


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return text if len(text) <= 200 else text[:197] + "..."
