"""For each table map: where its rows go, or why the stream must stop.

A table map tells the source's definition at the time of the event, and that is what is compared with the target's
present one; the source's present one only fills in what no table map tells.
"""

from __future__ import annotations

from dataclasses import replace

from segue.binlog.positions import Position
from segue.binlog.rows import TableMap
from segue.binlog.tablemap import table_map
from segue.errors import SegueError
from segue.flavour import Flavour
from segue.replicate.assembler import Route, Stop
from segue.replicate.routes import BySql, Reframed, Transcoded
from segue.schema import Comparison, Mapping, Sides, Tables, compare
from segue.schema.catalogue import Table
from segue.schema.shape import Collations, from_event, wire

MENDS = "Make the definitions fit (segue check shows each), map them in [[replicate.table]], or exclude the table"


class Planner:
    """Decides from both sides' definitions, read at connect and after each DDL.

    The stream may be behind the moment at which the source's were read, and rows from before an ALTER must not be
    judged by what it made. So until the stream has reached `read_at`, what no table map tells is not compared.
    """

    def __init__(  # noqa: PLR0917 - both sides, twice
        self, mapping: Mapping, source: Tables, target: Tables, sides: Sides, collations: Collations, flavour: Flavour,
        read_at: Position, *, overlap: bool = False,
    ) -> None:  # fmt: skip
        """`collations` are the source's, `flavour` is the target's. `overlap`: beside a seed, where an UPDATE becomes the
        row that it leads to."""
        self._overlap = overlap
        self._read_at = read_at
        self._ahead = True
        self._mapping = mapping
        self._source = source
        self._target = target
        self._sides = sides
        self._collations = collations
        self._flavour = flavour
        self.paths: dict[tuple[str, str], str] = {}
        """What was decided for each table of the source that had rows."""

    def __call__(self, event: TableMap) -> Route | None:
        """Raises Stop with all differences when rows written under `event` cannot be applied."""
        key = (event.schema, event.table)
        if not self._mapping.wants(*key):
            return None
        mapping = self._mapping.table(*key)
        try:
            source = from_event(event, self._collations, self._source.get(key))
        except SegueError as error:
            raise Stop(error.message, mend=error.mend) from None
        sides = replace(self._sides, foreign_keys_known=not self._ahead)
        made = compare(source, self._target.get(mapping.target), mapping, sides)
        if made.blocked:
            raise Stop("; ".join(f.sentence for f in made.blocked), mend=" ".join(
                dict.fromkeys(f.mend for f in made.blocked if f.mend)) or MENDS)  # fmt: skip
        self.paths[key] = made.path
        return self._route(event, made)

    def target(self, table: tuple[str, str]) -> Table | None:
        """The definition on the target, by its name there, that routes are made for."""
        return self._target.get(table)

    def reached(self, position: Position) -> bool:
        """True once, when the stream has come to where the definitions were read: ask about each table again."""
        if not self._ahead or not position.contains(self._read_at):
            return False
        self._ahead = False
        return True

    def _route(self, event: TableMap, made: Comparison) -> Route:
        target = made.target
        assert target is not None
        if made.path == "sql":
            return BySql(event, made)
        columns = [wire(c) for c in target.columns]
        there = table_map(target.schema, target.name, columns)
        if made.path == "pass":
            # The map must have exactly the target's types, or the server converts, in silence (docs/compatibility.md).
            same = (event.schema, event.table, event.types, event.meta) == (there.schema, there.table, there.types, there.meta)
            return Route(event) if same and self._sides.source == self._sides.target else Reframed(event, there, self._flavour)
        return Transcoded(event, there, made, self._flavour, whole_rows=self._overlap)

    def differences_in(self, schemas: set[str]) -> list[str]:
        """The same for all tables of these schemas."""
        return self.differences({key for key in self._source if key[0] in schemas})

    def differences(self, tables: set[tuple[str, str]]) -> list[str]:
        """What stands in the way in these tables, by the source's names; one that the source has no more differs in nothing."""
        found: list[str] = []
        for key in sorted(tables):
            table = self._source.get(key)
            if table is not None and self._mapping.wants(*key):
                mapping = self._mapping.table(*key)
                found += [f.sentence for f in compare(table, self._target.get(mapping.target), mapping, self._sides).blocked]
        return found

