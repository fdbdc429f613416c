"""The comparison of two table definitions under a mapping: one finding for each difference, and what to do. Pure.

*same* needs nothing, *carried* says how, *lossy* what values stop the stream (or are cut to fit, where the
configuration allows it), *blocked* why nothing can be done and what to change. Where a definition is right for one
flavour's way of applying rows and wrong for the other's, docs/compatibility.md has what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from segue.binlog.events import DoesNotFit
from segue.binlog.transcode import Step
from segue.errors import SegueError
from segue.schema.catalogue import Column, Table
from segue.schema.convert import OCTETS, TEXT, Kind, Verdict, constant, judge
from segue.schema.mapping import Match, Pair, TableMapping
from segue.schema.shape import base_of

Path = Literal["pass", "transcode", "sql", "stop"]
CASCADES: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


@dataclass(frozen=True, slots=True)
class Sides:
    """What of the two servers counts."""

    source: str = "mysql"
    """Flavour's name."""
    target: str = "mysql"
    cascades_logged: bool = False
    """The source writes what foreign keys cascade into its binlog (MySQL from 9.6)."""
    binlog_allowed: bool = True
    """The target lets us apply rows by BINLOG; else all goes by statements."""
    foreign_keys_known: bool = True
    """False while the source's foreign keys are not known for the moment that the rows are of: then they are not compared."""

    def back(self) -> Sides:
        return Sides(self.target, self.source)


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    kind: Kind
    table: str
    column: str
    """Empty when it is about the table."""
    source: str
    target: str
    """Both definitions."""
    sentence: str
    mend: str = ""
    allowed: bool = True
    """Of a lossy one: the configuration wants values to be cut; else they stop the stream."""

    @property
    def severity(self) -> Literal["blocks", "warns", "info"]:
        if self.kind == "blocked":
            return "blocks"
        return "warns" if self.kind == "lossy" and not self.allowed else "info"

    def message(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "severity": self.severity, "table": self.table, "column": self.column,
            "source": self.source, "target": self.target, "sentence": self.sentence, "mend": self.mend,
        }  # fmt: skip


@dataclass(slots=True)
class Comparison:
    """What follows for a table. Made by `compare`, not changed afterwards."""

    source: Table
    target: Table | None
    mapping: TableMapping
    findings: list[Finding] = field(default_factory=list)
    steps: dict[int, Step] = field(default_factory=dict)
    """By the target's column number; a target column without a step is not written."""
    kinds: dict[str, str] = field(default_factory=dict)
    """What happens to each column, by its name on the source; of the target's own, by theirs."""
    sql: list[str] = field(default_factory=list)
    """Why statements are needed."""
    computed: set[int] = field(default_factory=set)
    """Columns of the target that statements must leave to the server."""
    by_server: set[int] = field(default_factory=set)
    """Columns of the target that take the source's value, to be converted by the target."""

    @property
    def blocked(self) -> list[Finding]:
        return [f for f in self.findings if f.kind == "blocked"]

    @property
    def path(self) -> Path:
        if self.blocked:
            return "stop"
        if self.sql:
            return "sql"
        return "pass" if self.same_rows else "transcode"

    @property
    def same_rows(self) -> bool:
        """Row images mean the same on both sides, byte for byte."""
        if self.target is None or len(self.source.columns) != len(self.target.columns):
            return False
        return len(self.steps) == len(self.target.columns) and all(
            s.plain and s.source == n and not s.refuses_null and s.instead_of_null is None for n, s in self.steps.items()
        )


def compare(source: Table, target: Table | None, mapping: TableMapping | None = None, sides: Sides | None = None) -> Comparison:
    """What becomes of `source`'s rows on `target`, which is None when it does not exist."""
    sides = sides or Sides()
    mapping = mapping or TableMapping((source.schema, source.name), (source.schema, source.name))
    made = Comparison(source, target, mapping)
    if target is None:
        made.findings.append(
            Finding("blocked", source.full_name, "", "a table", "nothing",
                    f"table {mapping.target_name} does not exist on the target",
                    f"Create it as {source.full_name} is on the source, or put {source.full_name} into replicate.exclude")
        )  # fmt: skip
        return made
    _Comparer(made, target, sides).run()
    return made


class _Comparer:
    """Fills a Comparison."""

    def __init__(self, made: Comparison, target: Table, sides: Sides) -> None:
        self._made = made
        self._source = made.source
        self._target = target
        self._mapping = made.mapping
        self._sides = sides
        self._match: Match = made.mapping.match(made.source, target)

    def run(self) -> None:
        match = self._match
        for sentence in match.unknown:
            self._say("blocked", "", "", "", sentence, "Mend the [[replicate.table]] section")
        for column in match.missing:
            self._say("blocked", column.name, column.definition, "nothing", f"column {column.name} is missing on the target",
                      f"ALTER TABLE {self._target.full_name} ADD COLUMN {column.name} {column.type}; or put it into ignore_columns")  # fmt: skip
        for column in match.dropped:
            how = "not carried: the target has no such column" if self._mapping.sheds else "left out, as configured"
            self._made.kinds[column.name] = how
            self._say("lossy" if self._mapping.sheds else "carried", column.name, column.definition, "nothing",
                      f"column {column.name} is {how}")  # fmt: skip
        for pair in match.pairs:
            self._pair(pair)
        for column in match.added:
            self._added(column)
        self._keys()
        if self._sides.foreign_keys_known:
            self._foreign_keys()
        self._engine()
        if not self._sides.binlog_allowed and not self._made.sql:
            self._made.sql.append("the target does not let Segue use BINLOG")
        if self._made.sql and self._target.triggers:
            names = ", ".join(t.name for t in self._target.triggers)
            self._say("blocked", "", "", names, f"statements would fire the target's triggers ({names}):"
                      f" {self._made.sql[0]}", "Drop them on the target until it is active, or make the definitions alike")  # fmt: skip

    def _say(  # noqa: PLR0917 - a table's row, read in its order
        self, kind: Kind, column: str, source: str, target: str, sentence: str, mend: str = "", *, allowed: bool = True
    ) -> None:
        name = f"{self._source.full_name}.{column}" if column else self._source.full_name
        sentence = sentence if sentence.startswith(("table ", name)) else f"{name}: {sentence}"
        if kind == "blocked":  # whoever reads only this must see what to change
            ends = ((source, "source"), (target, "target"))
            unsaid = [f"{text} on the {side}" for text, side in ends if text not in {"", "nothing"} and text not in sentence]
            sentence += f" ({', '.join(unsaid)})" if unsaid else ""
        self._made.findings.append(Finding(kind, self._source.full_name, column, source, target, sentence, mend, allowed))

    # -- columns on both sides ---------------------------------------------------------------------------------

    def _pair(self, pair: Pair) -> None:
        one, two = pair.source, pair.target
        if two.generated and not (one.generated and _same_expression(one.generated, two.generated)):
            self._computed(pair)
            return
        allowed = one.name.lower() in self._mapping.lossy
        try:
            verdict = judge(one, two, clip=allowed)
        except SegueError as error:
            self._say("blocked", one.name, one.definition, two.definition, error.message, error.mend)
            return
        if verdict.kind == "blocked":
            self._say("blocked", one.name, one.definition, two.definition,
                      f"it is {one.definition} on the source and {two.definition} on the target: {verdict.how}", verdict.mend)  # fmt: skip
            return
        if verdict.kind == "lossy":
            then = "are cut to fit" if allowed else "stop the stream"
            self._say("lossy", one.name, one.definition, two.definition, f"{verdict.how}; {verdict.loss} {then}",
                      "" if allowed else f'allow_lossy = ["{one.name}"] cuts them, or widen the target\'s column', allowed=allowed)  # fmt: skip
        elif verdict.kind == "carried":
            self._say("carried", one.name, one.definition, two.definition, verdict.how)
        if verdict.sql:
            self._made.sql.append(f"{one.name}: {verdict.how}")
            self._made.by_server.add(pair.target_index)
        step = self._step(pair, verdict)
        if step is None:
            return
        self._made.steps[pair.target_index] = step
        renamed = f" as {two.name}" if one.name.lower() != two.name.lower() else ""
        moved = ", moved" if pair.source_index != pair.target_index else ""
        self._made.kinds[one.name] = (verdict.how or "same") + renamed + moved
        if one.default != two.default and not two.generated:
            self._say("carried", one.name, one.definition, two.definition,
                      f"its default is {_shown(one)} on the source and {_shown(two)} on the target: it counts for new rows only")  # fmt: skip

    def _step(self, pair: Pair, verdict: Verdict) -> Step | None:
        one, two = pair.source, pair.target
        instead: bytes | None = None
        refuses = one.nullable and not two.nullable
        if refuses:
            given = self._mapping.defaults.get(two.name.lower())
            if given is not None:
                instead = self._constant(two, given)
                refuses = False
                self._say("carried", one.name, one.definition, two.definition, f"NULL becomes {given!r}, as configured")
            else:
                self._say("lossy", one.name, one.definition, two.definition,
                          "it may be NULL on the source and not on the target; a NULL stops the stream",
                          f"default = {{ {two.name} = ... }} gives it a value, or make the target's column nullable",
                          allowed=False)  # fmt: skip
        return Step(
            one.name, pair.source_index, verdict.tail, verdict.sign, verdict.prefix, verdict.recode,
            instead_of_null=instead, refuses_null=refuses,
        )  # fmt: skip

    def _computed(self, pair: Pair) -> None:
        """The target computes what the source has stored, or computes otherwise."""
        one, two = pair.source, pair.target
        self._say("carried", one.name, one.definition, two.definition, f"the target computes it as {two.generated}")
        self._made.kinds[one.name] = "computed by the target"
        self._made.computed.add(pair.target_index)
        if two.stored or self._indexed(two.name):
            self._made.sql.append(f"{two.name}: it is generated on the target alone, and row events carry a value for it")

    def _constant(self, column: Column, value: str | float | bool) -> bytes:
        try:
            return constant(column, value)
        except (DoesNotFit, ValueError, ArithmeticError) as error:
            self._say("blocked", column.name, "nothing", column.definition, f"its default {value!r} does not fit: {error}",
                      "Mend `default` in the [[replicate.table]] section")  # fmt: skip
            return b""

    # -- columns that only the target has ----------------------------------------------------------------------

    def _added(self, column: Column) -> None:
        index = self._target.columns.index(column)
        name = column.name
        given = self._mapping.defaults.get(name.lower())
        mariadb = self._sides.target == "mariadb"
        how = ""
        if column.generated:
            how = "computed by the target"
            self._made.computed.add(index)
            if column.stored and not self._at_end(index):
                self._made.sql.append(f"{name}: a stored generated column in the middle is not computed from row events")
            elif mariadb and column.virtual and self._indexed(name):
                self._made.sql.append(f"{name}: MariaDB does not keep the index of a virtual column for row events")
            elif mariadb and column.stored:
                self._made.sql.append(f"{name}: MariaDB computes it for statements only")
        elif given is not None:
            how = f"{given!r}, as configured"
            self._made.steps[index] = Step(name, constant=self._constant(column, given))
        elif column.auto_increment:
            how = "numbered by the target"
            self._made.computed.add(index)
            self._made.sql.append(f"{name}: AUTO_INCREMENT of the target alone")
        elif column.computed_default:
            how = self._computed_default(column, index)
        elif column.default is not None:
            how = f"its default {column.default!r}"
            if mariadb and base_of(column) in TEXT | OCTETS:  # MariaDB leaves a TEXT empty
                self._made.steps[index] = Step(name, constant=self._constant(column, column.default))
        elif column.nullable:
            how = "NULL"
        else:
            self._say("blocked", name, "nothing", column.definition, f"column {name} exists only on the target, is NOT NULL and"
                      " has no default", f"Give it one there, or default = {{ {name} = ... }}")  # fmt: skip
            return
        self._made.kinds[name] = f"only on the target: {how}"
        self._say("carried", name, "nothing", column.definition, f"column {name} exists only on the target: {how}")
        if column.on_update:
            self._say("carried", name, "nothing", column.definition,
                      f"{name}: ON UPDATE CURRENT_TIMESTAMP does not act on replicated changes")  # fmt: skip

    def _computed_default(self, column: Column, index: int) -> str:
        default = column.default or ""
        mariadb = self._sides.target == "mariadb"
        if default.startswith("CURRENT_TIMESTAMP"):
            if mariadb and base_of(column) == "timestamp":
                self._made.steps[index] = Step(column.name, stamp=column.parsed.number(0, 0))
                return "the event's time"
            if mariadb:
                self._made.sql.append(f"{column.name}: MariaDB does not compute its default for row events")
            return "the event's time" if not mariadb else "the time of the insert"
        if mariadb or _mentions(default, self._target):
            self._made.sql.append(f"{column.name}: its default {default} is not computed for row events")
        return f"its default {default}"

    def _at_end(self, index: int) -> bool:
        added = {c.name for c in self._match.added}
        return all(c.name in added for c in self._target.columns[index:])

    def _indexed(self, name: str) -> bool:
        lower = name.lower()
        return any(lower in key.names for key in (*self._target.keys, *self._target.indexes))

    # -- the table as a whole ----------------------------------------------------------------------------------

    def _keys(self) -> None:
        source, target = self._source, self._target
        forward = {c.name.lower(): self._mapping.column(c.name) for c in source.columns}
        mine = {tuple(_carried(k.columns, forward)) for k in source.keys}
        theirs = {tuple(c.lower() for c in k.columns) for k in target.keys}
        one = tuple(_carried(source.primary.columns, forward)) if source.primary else ()
        two = tuple(c.lower() for c in target.primary.columns) if target.primary else ()
        if one != two:
            what = f"the primary key is {_listed(one)} on the source and {_listed(two)} on the target"
            self._say("carried", "", _listed(one), _listed(two), what)
            if set(one) != set(two):
                self._made.sql.append("the primary key differs")
        elif not two and self._match.added:
            self._made.sql.append("without a primary key the target compares whole rows, which lack the added columns")
        for columns in sorted(theirs - mine - {two}):
            self._say("lossy", "", "no unique key", f"UNIQUE {_listed(columns)}", f"unique key {_listed(columns)} exists only on"
                      " the target; rows equal in it stop the stream", "Drop it on the target, or create it on the source too", allowed=False)  # fmt: skip
        for columns in sorted(mine - theirs - {one}):
            self._say("carried", "", f"UNIQUE {_listed(columns)}", "no unique key",
                      f"unique key {_listed(columns)} exists only on the source")  # fmt: skip
        self._collations_of_keys()

    def _collations_of_keys(self) -> None:
        keyed = {n for k in self._target.keys for n in k.names}
        for pair in self._match.pairs:
            one, two = pair.source, pair.target
            if two.name.lower() not in keyed or not one.collation or not two.collation or one.collation == two.collation:
                continue
            if not (_sharp(one.collation) and not _sharp(two.collation)):
                continue
            if one.name.lower() in self._mapping.lossy:
                self._say("lossy", one.name, one.definition, two.definition, "the target's key tells fewer values apart")
            else:
                self._say("blocked", one.name, one.definition, two.definition,
                          f"it is part of a key, and {two.collation} on the target holds values for equal that {one.collation} on the"
                          " source tells apart: one row could take another's place",
                          f'Use a collation like {one.collation} on the target, or allow_lossy = ["{one.name}"] if no values differ so')  # fmt: skip

    def _foreign_keys(self) -> None:
        forward = {c.name.lower(): self._mapping.column(c.name) for c in self._source.columns}
        mine = {(tuple(_carried(f.columns, forward)), f.on_delete, f.on_update): f for f in self._source.foreign_keys}
        theirs = {(tuple(c.lower() for c in f.columns), f.on_delete, f.on_update): f for f in self._target.foreign_keys}
        no_action = {"NO ACTION": "RESTRICT"}
        plain = {(c, no_action.get(d, d), no_action.get(u, u)) for c, d, u in mine}
        for key, foreign in theirs.items():
            if (key[0], no_action.get(key[1], key[1]), no_action.get(key[2], key[2])) in plain:
                continue
            if {foreign.on_delete, foreign.on_update} & CASCADES:
                self._say("blocked", "", "nothing", foreign.definition, f"foreign key {foreign.name} {foreign.definition} exists only"
                          " on the target and would change rows there that the source does not change",
                          f"ALTER TABLE {self._target.full_name} DROP FOREIGN KEY {foreign.name}; or create it on the source too")  # fmt: skip
            else:
                self._say("lossy", "", "nothing", foreign.definition, f"foreign key {foreign.name} {foreign.definition} exists only on"
                          " the target; rows without a parent stop the stream", "Drop it there, or create it on the source too",
                          allowed=False)  # fmt: skip
        there = {(c, no_action.get(d, d), no_action.get(u, u)) for c, d, u in theirs}
        for key, foreign in mine.items():
            if (key[0], no_action.get(key[1], key[1]), no_action.get(key[2], key[2])) in there:
                continue
            if {foreign.on_delete, foreign.on_update} & CASCADES and not self._sides.cascades_logged:
                self._say("blocked", "", foreign.definition, "nothing", f"foreign key {foreign.name} {foreign.definition} exists only on"
                          " the source, whose binlog does not tell what it cascades",
                          f"Create it on {self._target.full_name} too")  # fmt: skip
            else:
                self._say("carried", "", foreign.definition, "nothing", f"foreign key {foreign.name} exists only on the source")

    def _engine(self) -> None:
        if not self._target.transactional:
            self._say("blocked", "", self._source.engine, self._target.engine,
                      f"the target's engine {self._target.engine} is not transactional", f"ALTER TABLE {self._target.full_name} ENGINE=InnoDB;")  # fmt: skip


def _carried(columns: tuple[str, ...], forward: dict[str, str | None]) -> Iterator[str]:
    for column in columns:
        name, bracket, rest = column.lower().partition("(")
        yield (forward.get(name) or f"({name} not carried)") + bracket + rest


def _listed(columns: tuple[str, ...]) -> str:
    return f"({', '.join(columns)})" if columns else "none"


def _shown(column: Column) -> str:
    return "none" if column.default is None else repr(column.default)


def _sharp(collation: str) -> bool:
    """Tells letters apart by case: every collation whose name does not say otherwise."""
    return not re.search(r"_ci(_|$)", collation)


_NOISE: Final = re.compile(r"_(?:utf8mb4|utf8mb3|utf8|latin1)(?=\\?')|[`\s()\\]")


def _same_expression(one: str, two: str) -> bool:
    return _NOISE.sub("", one).lower() == _NOISE.sub("", two).lower()


def _mentions(expression: str, table: Table) -> bool:
    return any(f"`{c.name.lower()}`" in expression.lower() for c in table.columns)
