"""Which table and column of one side is which on the other. Pure; one mapping for the stream, the copy and the proof.

Theory. The configuration speaks of the first direction, `source` -> `target`. A `Mapping` has a direction too, and
`inverse()` is the way back: the same tables and columns, looked at from the other end. Names that no rule mentions
are the same on both sides. Tables by exact name, as servers with lower_case_table_names = 0 do; columns without
regard to case, as every server does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from segue.config import Replicate, TableRule
from segue.errors import ConfigError
from segue.schema.catalogue import Column, Table
from segue.schema.selection import Selection

Name = tuple[str, str]
"""(schema, table)."""
ALL_TABLES: Final = "*"


@dataclass(frozen=True, slots=True)
class Pair:
    """One column on both sides, with its place in each table, counted from 0."""

    source: Column
    target: Column
    source_index: int
    target_index: int


@dataclass(frozen=True, slots=True)
class Match:
    """How the columns of two tables belong together."""

    pairs: tuple[Pair, ...]
    """In the target's order."""
    dropped: tuple[Column, ...]
    """Columns of the source that are not carried, as the configuration or the direction says."""
    missing: tuple[Column, ...]
    """Columns of the source that have no counterpart though they should."""
    added: tuple[Column, ...]
    """Columns that only the target has."""
    unknown: tuple[str, ...]
    """Sentences about names in the configuration that are no columns."""


@dataclass(frozen=True, slots=True)
class TableMapping:
    """One table on both sides. Column names are in lower case throughout."""

    source: Name
    target: Name
    renamed: dict[str, str] = field(default_factory=dict)
    """Source column -> target column, only where they differ."""
    ignored: frozenset[str] = frozenset()
    """Source columns that are not carried."""
    withheld: frozenset[str] = frozenset()
    """Target columns that are not written from a source column of the same name: ignored on the way back."""
    lossy: frozenset[str] = frozenset()
    """Source columns whose values may lose something."""
    defaults: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Values for columns that only the target has."""
    sheds: bool = False
    """Source columns that the target does not have are left out unasked. So on the way back: what was added to a
    table cannot go where it was not, and nobody who adds a column means to give up the way back."""

    @property
    def source_name(self) -> str:
        return ".".join(self.source)

    @property
    def target_name(self) -> str:
        return ".".join(self.target)

    def column(self, name: str) -> str | None:
        """The target's name (lower case) of a source column; None when it has none."""
        lower = name.lower()
        if lower in self.renamed:
            return self.renamed[lower]
        if lower in self.ignored or lower in self.withheld or lower in self.renamed.values():
            return None
        return lower

    def match(self, source: Table, target: Table) -> Match:
        """Pair the columns of two definitions."""
        there = {c.name.lower(): i for i, c in enumerate(target.columns)}
        here = {c.name.lower() for c in source.columns}
        pairs: list[Pair] = []
        dropped: list[Column] = []
        missing: list[Column] = []
        for index, column in enumerate(source.columns):
            name = self.column(column.name)
            at = there.get(name) if name is not None else None
            if at is None:
                (dropped if self.sheds or column.name.lower() in self.ignored else missing).append(column)
            else:
                pairs.append(Pair(column, target.columns[at], index, at))
        pairs.sort(key=lambda p: p.target_index)
        taken = {p.target_index for p in pairs}
        added = [c for i, c in enumerate(target.columns) if i not in taken]
        unknown = [f"{source.full_name} has no column {n}" for n in (*self.renamed, *sorted(self.ignored)) if n not in here]
        unknown += [f"{target.full_name} has no column {n}" for n in self.renamed.values() if n not in there]
        unknown += [f"{target.full_name} has no column {n}, for which a default is configured"
                    for n in self.defaults if n not in there]  # fmt: skip
        return Match(tuple(pairs), tuple(dropped), tuple(missing), tuple(added), tuple(unknown))

    def inverse(self) -> TableMapping:
        back = {new: old for old, new in self.renamed.items()}
        return TableMapping(
            self.target, self.source, back, self.withheld, self.ignored,
            frozenset(self.renamed.get(n, n) for n in self.lossy), {}, sheds=not self.sheds,
        )  # fmt: skip


class Mapping:
    """Which tables are replicated, and what each is called on the other side. Takes the place of a Selection.

    `wants` and `wants_schema` speak of this direction's source; of the target, ask `inverse()`.
    """

    def __init__(self, selection: Selection, tables: dict[Name, TableMapping], schemas: dict[str, str],
                 back: Mapping | None = None, *, forward: bool = True) -> None:  # fmt: skip
        self._selection = selection
        self._tables = tables
        self._schemas = schemas
        self._forward = forward
        self._back = back

    @classmethod
    def of(cls, replicate: Replicate) -> Mapping:
        """The configuration's mapping, in its own direction. Raises ConfigError for rules that cannot all be kept."""
        selection = Selection(replicate.schemas, replicate.exclude)
        there: dict[Name, TableMapping] = {}
        back: dict[Name, TableMapping] = {}
        schemas: dict[str, str] = {}
        schemas_back: dict[str, str] = {}
        for rule in replicate.table:
            source, target = _split(rule.source), _split(rule.target or rule.source)
            if ALL_TABLES in (source[1], target[1]):
                _whole_schema(rule, source, target, schemas, schemas_back)
                continue
            if not selection.wants(*source):
                raise ConfigError(f"replicate.table {rule.source} is not among the replicated tables",
                                  mend="Add its schema to replicate.schemas, or remove the section")  # fmt: skip
            if source in there:
                raise ConfigError(f"replicate.table has two sections for {rule.source}", mend="Make them one")
            if target in back:
                raise ConfigError(f"replicate.table maps both {'.'.join(back[target].target)} and {rule.source} to"
                                  f" {'.'.join(target)}", mend="Give each its own target")  # fmt: skip
            there[source], back[target] = _both_ways(rule, source, target)
        one = cls(selection, there, schemas)
        two = cls(selection, back, schemas_back, one, forward=False)
        one._back = two
        return one

    def inverse(self) -> Mapping:
        """The way back."""
        assert self._back is not None
        return self._back

    def wants_schema(self, schema: str) -> bool:
        """Whether a schema of the source may hold replicated tables."""
        if self._forward:
            return self._selection.wants_schema(schema)
        if schema in {name[0] for name in self._tables}:
            return True
        other = self._schemas.get(schema, schema)
        return self._selection.wants_schema(other) and self.inverse()._schema(other) == schema

    def wants(self, schema: str, table: str) -> bool:
        """Whether a table of the source is replicated."""
        if self._forward:
            return self._selection.wants(schema, table)
        if (schema, table) in self._tables:
            return True
        other = (self._schemas.get(schema, schema), table)
        # A table by the name that a rule has given away is not that rule's table.
        return self._selection.wants(*other) and self.inverse().table(*other).target == (schema, table)

    def table(self, schema: str, table: str) -> TableMapping:
        """What becomes of a table of the source that is wanted."""
        found = self._tables.get((schema, table))
        if found is None:
            found = TableMapping((schema, table), (self._schema(schema), table), sheds=not self._forward)
        return found

    def rules(self) -> tuple[TableMapping, ...]:
        """The tables that the configuration names."""
        return tuple(self._tables.values())

    def _schema(self, schema: str) -> str:
        return self._schemas.get(schema, schema)


def _split(name: str) -> Name:
    schema, _, table = name.partition(".")
    return schema, table


def _whole_schema(rule: TableRule, source: Name, target: Name, there: dict[str, str], back: dict[str, str]) -> None:
    if source[1] != ALL_TABLES or target[1] != ALL_TABLES:
        raise ConfigError(f"replicate.table {rule.source}: a whole schema is mapped to a whole schema",
                          mend='For example source = "shop.*", target = "store.*"')  # fmt: skip
    if rule.rename or rule.ignore_columns or rule.allow_lossy or rule.default:
        raise ConfigError(f"replicate.table {rule.source}: columns are given for one table at a time",
                          mend="Give them in a section of the table's own")  # fmt: skip
    if source[0] in there or target[0] in back:
        raise ConfigError(f"replicate.table maps schema {source[0]} or {target[0]} twice", mend="Keep one of them")
    there[source[0]], back[target[0]] = target[0], source[0]


def _both_ways(rule: TableRule, source: Name, target: Name) -> tuple[TableMapping, TableMapping]:
    where = f"replicate.table {rule.source}"
    rename = {old.lower(): new.lower() for old, new in rule.rename.items()}
    ignored = frozenset(n.lower() for n in rule.ignore_columns)
    if len(set(rename.values())) != len(rename):
        raise ConfigError(f"{where}: two columns are renamed to the same name", mend="Give each its own")
    if both := sorted(ignored & set(rename)):
        raise ConfigError(f"{where}: column {', '.join(both)} is both renamed and ignored", mend="Choose one")
    rename = {old: new for old, new in rename.items() if old != new}
    lossy = frozenset(n.lower() for n in rule.allow_lossy)
    defaults = {n.lower(): v for n, v in rule.default.items()}
    forward = TableMapping(source, target, rename, ignored, frozenset(), lossy,
                           {n: v for n, v in defaults.items() if n not in ignored})  # fmt: skip
    return forward, replace(forward.inverse(), defaults={n: v for n, v in defaults.items() if n in ignored})
