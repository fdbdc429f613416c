"""Every refusal of the comparison: what it says, and that none is without a row here."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any

import pytest

from segue.schema import Column, Key, Sides, Table, TableMapping, compare, convert
from segue.schema import compare as compare_function
from segue.schema.catalogue import ForeignKey, Trigger
from tests.unit.test_compare import MARIADB, MYSQL, column, table

MAPPING = ("shop", "t"), ("shop", "t")
CASCADE, PLAIN = (ForeignKey("f", ("c",), "shop.p", ("id",), rule, "RESTRICT") for rule in ("CASCADE", "NO ACTION"))
INT = column("c", "int")
SHARP = column("c", "varchar(9)", nullable=False, collation="utf8mb4_bin")
BLUNT = column("c", "varchar(9)", nullable=False)
BY_C = (Key("PRIMARY", ("c",)),)


@dataclass(frozen=True)
class Refusal:
    """`says` and `mend` are parts of what is said; `column` is the finding's."""

    source: Table
    target: Table | None
    says: str
    mend: str
    column: str = "c"
    mapping: TableMapping | None = None
    sides: Sides = MYSQL


def types(one: str, two: str, says: str, mend: str = "", source: str | None = None, target: str | None = None) -> Refusal:
    """Two columns whose types do not go together; `source` and `target` are character sets."""
    return Refusal(table(column("c", one, source)), table(column("c", two, target)), says, mend or f"the type {one}")


def given(**more: Any) -> TableMapping:
    return TableMapping(*MAPPING, **more)


GUESSING = "without guessing"
REFUSALS = {
    "no table": Refusal(table(INT), None, "table shop.t does not exist on the target", "Create it as shop.t is", ""),
    "mapping: renamed column of the source": Refusal(
        table(), table(), "shop.t has no column nope", "[[replicate.table]]", "", given(renamed={"nope": "id"})),
    "mapping: renamed to what the target lacks": Refusal(
        table(INT), table(INT), "shop.t has no column gone", "[[replicate.table]]", "", given(renamed={"id": "gone"})),
    "mapping: ignored column": Refusal(
        table(), table(), "shop.t has no column nope", "[[replicate.table]]", "", given(ignored=frozenset({"nope"}))),
    "mapping: default for no column": Refusal(
        table(), table(), "shop.t has no column nope, for which a default", "[[replicate.table]]", "", given(defaults={"nope": 1})),
    "column missing": Refusal(table(INT), table(), "column c is missing on the target", "ADD COLUMN c int; or put it into ignore_columns"),
    "column not null without default": Refusal(
        table(), table(column("c", "int", nullable=False)), "is NOT NULL and has no default", "default = { c = ... }"),
    "type not known": Refusal(
        table(column("c", "frobnicate")), table(column("c", "frobnicate")), "which is not known", "Exclude the table"),
    "default: does not fit a new column": Refusal(
        table(), table(INT), "its default 'many' does not fit", "Mend `default`", mapping=given(defaults={"c": "many"})),
    "default: does not fit for NULL": Refusal(
        table(INT), table(column("c", "int", nullable=False)), "its default 'many' does not fit", "Mend `default`",
        mapping=given(defaults={"c": "many"})),
    "default: of the target in a character set that is not known": Refusal(
        table(), table(column("c", "varchar(9)", "gbk", default="x")), "a default in gbk is not known", "Mend `default`", sides=MARIADB),
    "key that tells fewer values apart": Refusal(
        table(SHARP, keys=BY_C), table(BLUNT, keys=BY_C), "one row could take another's place", "a collation like utf8mb4_bin"),
    "cascade only on the target": Refusal(
        table(INT), table(INT, foreign_keys=(CASCADE,)), "would change rows there", "DROP FOREIGN KEY f", ""),
    "cascade only on the source": Refusal(
        table(INT, foreign_keys=(CASCADE,)), table(INT), "does not tell what it cascades", "Create it on shop.t too", ""),
    "cascade of another kind": Refusal(
        table(INT, foreign_keys=(PLAIN,)), table(INT, foreign_keys=(CASCADE,)), "would change rows there", "DROP FOREIGN KEY f", ""),
    "engine": Refusal(
        table(INT), Table("shop", "t", "MyISAM", table(INT).columns, table().keys), "MyISAM is not transactional", "ENGINE=InnoDB", ""),
    "trigger, and statements because of a type": Refusal(
        table(column("c", "longtext")), table(column("c", "json"), triggers=(Trigger("audit", "AFTER INSERT"),)),
        "would fire the target's triggers (audit): c:", "Drop them on the target", ""),
    "trigger, and statements because of a right": Refusal(
        table(INT), table(INT, triggers=(Trigger("audit", "AFTER INSERT"),)), "the target does not let Segue use BINLOG",
        "Drop them on the target", "", sides=Sides("mysql", "mysql", binlog_allowed=False)),
    "timestamp to datetime": types("timestamp", "datetime(3)", "no time zone of the wall clock is known"),
    "datetime to timestamp": types("datetime", "timestamp", "no time zone of the wall clock is known"),
    "vectors of two sizes": types("vector(3)", "vector(4)", "vectors of different size"),
    "compressed to shorter": types("varchar(90) compressed", "varchar(9) compressed", "COMPRESSED column", "the same length"),
    "compressed to another character set": types("text compressed", "text", "COMPRESSED column", "the same length", "latin1", "gbk"),
    "compressed octets to fewer": types("blob compressed", "tinyblob", "COMPRESSED column", "the same length"),
    "octets to text in a character set that is not known": types(
        "varbinary(9)", "varchar(9)", "whether bytes are text in gbk cannot be told", target="gbk"),
    "no geometry": types("geometry", "point", GUESSING),
    **{f"{one} to {two}": types(one, two, GUESSING) for one, two in (
        ("double", "int"), ("float", "decimal(9,2)"), ("double", "varchar(30)"), ("bit(4)", "varchar(9)"), ("time", "datetime"),
        ("date", "timestamp"), ("date", "time"), ("timestamp", "varchar(30)"), ("year", "date"), ("varchar(9)", "int"),
        ("varchar(9)", "date"), ("varchar(9)", "decimal(9,2)"), ("varchar(9)", "set('a')"), ("enum('a')", "int"), ("int", "enum('a')"),
        ("enum('a')", "set('a')"), ("set('a')", "enum('a')"), ("json", "int"), ("json", "blob"), ("int", "json"), ("point", "blob"),
        ("blob", "point"), ("vector(3)", "blob"), ("varbinary(12)", "vector(3)"), ("uuid", "binary(16)"), ("binary(16)", "uuid"),
        ("inet4", "inet6"), ("inet6", "int"), ("int", "date"), ("datetime", "int"), ("blob", "int"), ("int", "blob"),
    )},
}  # fmt: skip


def refused(case: Refusal) -> list[Any]:
    return compare(case.source, case.target, case.mapping, case.sides).blocked


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_says_which_table_which_column_both_definitions_and_the_mend(case: Refusal) -> None:
    [finding] = [f for f in refused(case) if case.says in f.sentence]  # a wrong name in a mapping has others follow
    assert finding.severity == "blocks"
    assert (finding.table, finding.column) == ("shop.t", case.column)
    assert case.mend in finding.mend
    assert ("shop.t." + case.column if case.column else "shop.t") in finding.sentence
    for definition in (finding.source, finding.target):
        assert definition in finding.sentence or definition in {"nothing", "a table"}
    for side in (case.source, case.target):
        defined: Column | None = side.column(case.column) if side and case.column else None
        assert defined is None or defined.definition in finding.sentence


def refusals_of(module: ModuleType) -> Iterator[tuple[int, int]]:
    """First and last line of each place that makes something blocked."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == "blocked":
            yield node.lineno, node.end_lineno or node.lineno


def test_no_refusal_is_without_a_row() -> None:
    modules = {str(m.__file__): m for m in (sys.modules[compare_function.__module__], convert)}
    ran: set[tuple[str, int]] = set()

    def line(frame: FrameType, event: str, _arg: Any) -> Any:
        if frame.f_code.co_filename not in modules:
            return None
        if event == "line":
            ran.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        for case in REFUSALS.values():
            refused(case)
    finally:
        sys.settrace(before)
    places = [(file, first, last) for file, module in modules.items() for first, last in refusals_of(module)]
    assert len(places) > 12
    assert not [p for p in places if not any((p[0], number) in ran for number in range(p[1], p[2] + 1))]
