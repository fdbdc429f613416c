"""The comparison of definitions, by table: what is same, carried, lossy or blocked, and what it says."""

from __future__ import annotations

import pytest

from segue.schema import Column, Key, Sides, Table, TableMapping, compare
from segue.schema.catalogue import ForeignKey, Trigger
from segue.schema.compare import Comparison

MYSQL, MARIADB = Sides("mysql", "mysql"), Sides("mariadb", "mariadb")


def column(name: str, kind: str, charset: str | None = None, **more: object) -> Column:
    """`varchar(10) latin1` sets the character set; text is utf8mb4 otherwise."""
    base = kind.split("(", maxsplit=1)[0].split(" ", maxsplit=1)[0]
    text = base in {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"}
    charset = charset or ("utf8mb4" if text else None)
    values: dict[str, object] = {"collation": f"{charset}_general_ci" if charset else None, "nullable": True, "default": None,
                                 "extra": "", "generated": ""} | more  # fmt: skip
    return Column(name, kind, charset, **values)  # type: ignore[arg-type]


def table(*columns: Column, keys: tuple[Key, ...] = (Key("PRIMARY", ("id",)),), **more: object) -> Table:
    return Table("shop", "t", "InnoDB", (column("id", "int", nullable=False), *columns), keys, **more)  # type: ignore[arg-type]


def one(source: Column, target: Column, sides: Sides = MYSQL, *, lossy: bool = False) -> Comparison:
    mapping = TableMapping(("shop", "t"), ("shop", "t"), lossy=frozenset({source.name}) if lossy else frozenset())
    return compare(table(source), table(target), mapping, sides)


def kind(made: Comparison, name: str = "c") -> str:
    """The gravest finding about a column."""
    order = ["same", "carried", "lossy", "blocked"]
    return max([f.kind for f in made.findings if f.column == name] or ["same"], key=order.index)


LATIN = {"charset": "latin1"}
CASES = [
    ("int", "int", "same", "pass"), ("int", "bigint", "carried", "transcode"), ("int unsigned", "bigint", "carried", "transcode"),
    ("int unsigned", "bigint unsigned", "carried", "transcode"), ("tinyint", "smallint", "carried", "transcode"),
    ("bigint", "int", "lossy", "transcode"), ("int unsigned", "int", "lossy", "transcode"), ("int", "int unsigned", "lossy", "transcode"),
    ("decimal(10,2)", "decimal(12,4)", "carried", "transcode"), ("decimal(10,2)", "decimal(10,1)", "lossy", "transcode"),
    ("decimal(10,2)", "decimal(10,2) unsigned", "lossy", "transcode"), ("int", "decimal(10,0)", "carried", "transcode"),
    ("int", "decimal(5,0)", "lossy", "transcode"), ("decimal(5,2)", "int", "lossy", "transcode"), ("bigint", "double", "lossy", "transcode"),
    ("int", "double", "carried", "transcode"), ("float", "double", "carried", "transcode"), ("double", "float", "lossy", "transcode"),
    ("bit(3)", "bit(9)", "carried", "transcode"), ("bit(9)", "bit(3)", "lossy", "transcode"), ("bit(8)", "int", "carried", "transcode"),
    ("bit(8)", "bit(7)", "lossy", "transcode"), ("year", "int", "carried", "transcode"), ("int", "year", "lossy", "transcode"),
    ("tinyint", "bit(8)", "lossy", "transcode"), ("double", "int", "blocked", "stop"), ("double", "decimal(10,2)", "blocked", "stop"),
    ("datetime", "datetime(6)", "carried", "transcode"), ("datetime(1)", "datetime(2)", "carried", "pass"),
    ("datetime(6)", "datetime", "lossy", "transcode"), ("time", "time(3)", "carried", "transcode"), ("timestamp", "timestamp(6)", "carried", "transcode"),
    ("timestamp", "datetime", "blocked", "stop"), ("datetime", "timestamp", "blocked", "stop"), ("date", "datetime(3)", "carried", "transcode"),
    ("datetime", "date", "lossy", "transcode"), ("date", "timestamp", "blocked", "stop"), ("time", "datetime", "blocked", "stop"),
    ("timestamp", "varchar(30)", "blocked", "stop"), ("datetime", "varchar(30)", "carried", "transcode"), ("int", "varchar(20)", "carried", "transcode"),
    ("int", "varchar(5)", "lossy", "transcode"), ("double", "varchar(30)", "blocked", "stop"), ("bit(4)", "varchar(9)", "blocked", "stop"),
    ("varchar(10)", "varchar(20)", "carried", "pass"), ("varchar(20)", "varchar(10)", "lossy", "transcode"), ("varchar(20)", "text", "carried", "transcode"),
    ("text", "varchar(20)", "lossy", "transcode"), ("text", "mediumtext", "carried", "transcode"), ("longtext", "text", "lossy", "transcode"),
    ("char(5)", "varchar(5)", "carried", "pass"), ("varchar(5)", "char(5)", "lossy", "transcode"), ("varchar(9)", "int", "blocked", "stop"),
    ("varchar(9)", "date", "blocked", "stop"), ("varbinary(9)", "blob", "carried", "transcode"), ("blob", "varbinary(9)", "lossy", "transcode"),
    ("binary(4)", "binary(8)", "carried", "pass"), ("binary(4)", "varbinary(8)", "carried", "transcode"), ("varbinary(4)", "binary(4)", "lossy", "transcode"),
    ("varchar(9)", "varbinary(99)", "carried", "pass"), ("blob", "text", "lossy", "transcode"), ("enum('a','b')", "enum('a','b','c')", "carried", "pass"),
    ("enum('a','b')", "enum('b','a')", "carried", "transcode"), ("enum('a','b')", "enum('a')", "lossy", "transcode"),
    ("set('a','b')", "set('b','a')", "carried", "transcode"), ("set('a','b')", "set('a')", "lossy", "transcode"), ("enum('a','b')", "varchar(5)", "lossy", "transcode"),
    ("enum('a','b')", "varchar(30)", "carried", "transcode"), ("set('a','b')", "text", "carried", "transcode"), ("varchar(5)", "enum('a')", "lossy", "transcode"),
    ("enum('a')", "int", "blocked", "stop"), ("int", "enum('a')", "blocked", "stop"), ("json", "json", "same", "pass"), ("json", "longtext", "carried", "transcode"),
    ("longtext", "json", "carried", "sql"), ("json", "int", "blocked", "stop"), ("json", "blob", "blocked", "stop"), ("point", "geometry", "carried", "pass"),
    ("geometry", "point", "blocked", "stop"), ("point", "blob", "blocked", "stop"), ("vector(3)", "vector(3)", "same", "pass"),
    ("vector(3)", "vector(4)", "blocked", "stop"), ("uuid", "char(36)", "carried", "transcode"), ("uuid", "binary(16)", "blocked", "stop"),
    ("inet6", "varchar(39)", "carried", "transcode"), ("char(36)", "uuid", "lossy", "transcode"), ("int", "json", "blocked", "stop"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "wanted", "path"), CASES, ids=[f"{a} to {b}" for a, b, *_ in CASES])
def test_types(source: str, target: str, wanted: str, path: str) -> None:
    made = one(column("c", source), column("c", target))
    assert kind(made) == wanted, made.findings
    assert made.path == path
    for finding in made.findings:
        if finding.kind in {"lossy", "blocked"}:
            assert "shop.t.c" in finding.sentence
            assert finding.source.startswith(source)
            assert finding.target.startswith(target)
            assert finding.mend
    if wanted == "blocked":
        said = made.blocked[0].sentence
        assert source in said
        assert target in said


@pytest.mark.parametrize(
    ("source", "target", "wanted", "path"),
    [
        ("latin1", "utf8mb4", "carried", "transcode"), ("utf8mb3", "utf8mb4", "carried", "pass"), ("utf8mb4", "utf8mb3", "lossy", "transcode"),
        ("utf8mb4", "latin1", "lossy", "transcode"), ("ascii", "utf8mb4", "carried", "pass"), ("gbk", "utf8mb4", "carried", "sql"),
        ("utf8mb4", "gbk", "lossy", "sql"), ("gbk", "gbk", "same", "pass"),
    ],
)  # fmt: skip
def test_character_sets(source: str, target: str, wanted: str, path: str) -> None:
    made = one(column("c", "varchar(20)", source), column("c", "varchar(20)", target))
    assert (kind(made), made.path) == (wanted, path)


def test_a_collation_is_carried() -> None:
    made = one(column("c", "text"), column("c", "text", collation="utf8mb4_bin"))
    assert (kind(made), made.path) == ("carried", "pass")


def test_allowed_losses_do_not_warn() -> None:
    strict, lax = (one(column("c", "bigint"), column("c", "int"), lossy=lossy) for lossy in (False, True))
    assert [f.severity for f in strict.findings] == ["warns"]
    assert 'allow_lossy = ["c"]' in strict.findings[0].mend
    assert [f.severity for f in lax.findings] == ["info"]


def test_null_to_not_null() -> None:
    made = one(column("c", "int"), column("c", "int", nullable=False))
    assert kind(made) == "lossy"
    assert made.path == "transcode"
    assert "NULL stops the stream" in made.findings[0].sentence
    mapping = TableMapping(("shop", "t"), ("shop", "t"), defaults={"c": 7})
    made = compare(table(column("c", "int")), table(column("c", "int", nullable=False)), mapping)
    assert made.steps[1].instead_of_null == b"\7\0\0\0"


def test_missing_and_existing_only_on_the_target() -> None:
    wide, slim = table(column("c", "int")), table()
    made = compare(wide, slim)
    assert "column c is missing on the target" in made.blocked[0].sentence
    assert "ADD COLUMN c int" in made.blocked[0].mend
    assert compare(slim, wide).path == "transcode"
    strict = table(column("c", "int", nullable=False))
    made = compare(slim, strict)
    assert "c exists only on the target, is NOT NULL and has no default" in made.blocked[0].sentence
    made = compare(slim, strict, TableMapping(("shop", "t"), ("shop", "t"), defaults={"c": "many"}))
    assert "'many' does not fit" in made.blocked[0].sentence
    made = compare(wide, None)
    assert "table shop.t does not exist on the target" in made.blocked[0].sentence
    assert made.path == "stop"


@pytest.mark.parametrize(
    ("added", "sides", "path"),
    [
        (column("c", "int", default="5"), MYSQL, "transcode"),
        (column("c", "int", default="5"), MARIADB, "transcode"),
        (column("c", "timestamp", default="CURRENT_TIMESTAMP", computed_default=True), MYSQL, "transcode"),
        (column("c", "timestamp", default="CURRENT_TIMESTAMP", computed_default=True), MARIADB, "transcode"),
        (column("c", "datetime", default="CURRENT_TIMESTAMP", computed_default=True), MARIADB, "sql"),
        (column("c", "char(36)", default="uuid()", computed_default=True), MYSQL, "transcode"),
        (column("c", "char(36)", default="uuid()", computed_default=True), MARIADB, "sql"),
        (column("c", "int", default="(`id` + 1)", computed_default=True), MYSQL, "sql"),
        (column("c", "int", generated="`id` + 1", extra="virtual generated"), MYSQL, "transcode"),
        (column("c", "int", generated="`id` + 1", extra="stored generated"), MYSQL, "transcode"),
        (column("c", "int", generated="`id` + 1", extra="stored generated"), MARIADB, "sql"),
        (column("c", "int", extra="auto_increment", nullable=False), MYSQL, "sql"),
    ],
    ids=range(12),
)
def test_columns_that_only_the_target_has(added: Column, sides: Sides, path: str) -> None:
    made = compare(table(), table(added), None, sides)
    assert made.path == path, made.findings


def test_an_indexed_virtual_column_goes_by_statements_on_mariadb() -> None:
    added = column("c", "int", generated="`id` + 1", extra="virtual generated")
    assert compare(table(), table(added, indexes=(Key("c", ("c",), unique=False),)), None, MARIADB).path == "sql"
    middle = Table("shop", "t", "InnoDB", (column("c", "int", generated="1", extra="stored generated"), *table().columns), table().keys)
    assert compare(table(), middle, None, MYSQL).path == "sql"


def test_generated_on_both_sides() -> None:
    """Written differently by each flavour, and the same; or really another expression."""
    mine = column("c", "int", generated="(`id` + 1)", extra="stored generated")
    theirs = column("c", "int", generated="`id` + 1", extra="stored generated")
    assert compare(table(mine), table(theirs)).path == "pass"
    other = column("c", "int", generated="`id` + 2", extra="stored generated")
    made = compare(table(mine), table(other))
    assert made.path == "sql"
    assert made.computed == {1}
    assert compare(table(mine), table(column("c", "int"))).path == "pass"


def test_keys() -> None:
    other = table(column("c", "int", nullable=False), keys=(Key("PRIMARY", ("c",)),))
    mine = table(column("c", "int", nullable=False))
    made = compare(mine, other)
    assert made.path == "sql"
    assert "the primary key is (id) on the source and (c) on the target" in made.findings[0].sentence
    unique = table(column("c", "int"), keys=(Key("PRIMARY", ("id",)), Key("c", ("c",))))
    made = compare(table(column("c", "int")), unique)
    assert [f.severity for f in made.findings] == ["warns"]
    assert "unique key (c) exists only on the target" in made.findings[0].sentence
    assert compare(unique, table(column("c", "int"))).path == "pass"
    keyless = table(keys=())
    assert compare(keyless, keyless).path == "pass"
    assert compare(keyless, table(column("c", "int"), keys=())).path == "sql"


def test_a_key_that_tells_fewer_values_apart() -> None:
    keys = (Key("PRIMARY", ("c",)),)
    sharp, blunt = (table(column("c", "varchar(9)", nullable=False, collation=f"utf8mb4_{c}"), keys=keys) for c in ("bin", "general_ci"))
    made = compare(sharp, blunt)
    assert "holds values for equal that utf8mb4_bin" in made.blocked[0].sentence
    allowed = compare(sharp, blunt, TableMapping(("shop", "t"), ("shop", "t"), lossy=frozenset({"c"})))
    assert allowed.path == "pass"
    assert compare(blunt, sharp).path == "pass"


def test_foreign_keys() -> None:
    cascade, plain = (ForeignKey("f", ("c",), "shop.p", ("id",), rule, "RESTRICT") for rule in ("CASCADE", "NO ACTION"))
    with_cascade, without = (table(column("c", "int"), foreign_keys=f) for f in ((cascade,), ()))
    made = compare(without, with_cascade)
    assert "would change rows there" in made.blocked[0].sentence
    assert "DROP FOREIGN KEY f" in made.blocked[0].mend
    made = compare(with_cascade, without)
    assert "does not tell what it cascades" in made.blocked[0].sentence
    assert compare(with_cascade, without, None, Sides("mysql", "mysql", cascades_logged=True)).path == "pass"
    made = compare(without, table(column("c", "int"), foreign_keys=(plain,)))
    assert [f.severity for f in made.findings] == ["warns"]
    assert compare(with_cascade, with_cascade).path == "pass"


def test_triggers_and_engine() -> None:
    fired = table(column("c", "json"), triggers=(Trigger("audit", "AFTER INSERT"),))
    assert compare(table(column("c", "json")), fired).path == "pass"
    made = compare(table(column("c", "longtext")), fired)
    assert "statements would fire the target's triggers (audit)" in made.blocked[0].sentence
    myisam = Table("shop", "t", "MyISAM", table().columns, table().keys)
    assert "MyISAM is not transactional" in compare(table(), myisam).blocked[0].sentence


def test_a_target_without_binlog_goes_by_statements() -> None:
    made = compare(table(), table(), None, Sides("mysql", "mysql", binlog_allowed=False))
    assert made.path == "sql"


def test_an_unknown_type_is_blocked() -> None:
    made = one(column("c", "frobnicate"), column("c", "frobnicate"))
    assert "frobnicate, which is not known" in made.blocked[0].sentence


def test_wrong_names_in_a_mapping_are_blocked() -> None:
    made = compare(table(), table(), TableMapping(("shop", "t"), ("shop", "t"), {"nope": "id"}))
    assert "shop.t has no column nope" in "; ".join(f.sentence for f in made.blocked)
