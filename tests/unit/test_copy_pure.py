"""Pure parts of the copy: keys as literals, definitions taken apart, the gate, walking after a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.copy.definition import Definition, additions
from segue.copy.gate import Gate
from segue.copy.keys import WalkKey, walk_key
from segue.copy.lines import Form
from segue.copy.record import Chunk, TableRecord
from segue.copy.walk import Walk, between
from segue.flavour import Flavour, MariaDB, MySQL
from segue.flavour.definitions import translated
from segue.schema.catalogue import Column, Key, Table

CREATE = """CREATE TABLE `t` (
  `id` int NOT NULL AUTO_INCREMENT,
  `na``me` varchar(20) DEFAULT 'a,b)\\'' COMMENT 'KEY `x` (, it''s',
  `e` enum('x','y)') CHARACTER SET latin1 DEFAULT NULL,
  `p` int NOT NULL,
  PRIMARY KEY (`p`,`id`),
  UNIQUE KEY `u` (`na``me`,`e`),
  KEY `id` (`id`),
  KEY `expr` ((lower(`na``me`))),
  FULLTEXT KEY `f1` (`na``me`),
  FULLTEXT KEY `f2` (`na``me`),
  CONSTRAINT `fk` FOREIGN KEY (`p`) REFERENCES `q` (`id`) ON DELETE CASCADE,
  CONSTRAINT `c` CHECK ((`p` > 0))
) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='(,)'
/*!50100 PARTITION BY RANGE (`p`) (PARTITION p0 VALUES LESS THAN (5)) */"""


def test_a_definition_loses_secondary_and_foreign_keys_and_gets_them_back() -> None:
    parsed = Definition.parse(CREATE)
    bare = parsed.bare(None)
    assert [i.split("(")[0].strip() for i in bare.items if "KEY" in i.split("`")[0]] == ["PRIMARY KEY", "KEY `id`"]
    assert any(i.startswith("CONSTRAINT `c` CHECK") for i in bare.items)
    assert bare.tail.startswith(") ENGINE=InnoDB AUTO_INCREMENT=7")
    assert "PARTITION BY RANGE" in bare.tail
    keys = parsed.keys(None)
    assert len(keys) == 4
    assert additions(keys) == [f"ADD {keys[0]}, ADD {keys[1]}", f"ADD {keys[2]}", f"ADD {keys[3]}"]
    assert parsed.foreign() == ["CONSTRAINT `fk` FOREIGN KEY (`p`) REFERENCES `q` (`id`) ON DELETE CASCADE"]
    assert Definition.parse_create(parsed.create("`s`.`t`")) == parsed
    assert sorted([*bare.items, *keys, *parsed.foreign()]) == sorted(parsed.items)


def test_the_key_it_is_walked_by_stays() -> None:
    assert any(i.startswith("UNIQUE KEY `u`") for i in Definition.parse(CREATE).bare("u").items)


def test_a_fingerprint_is_blind_for_the_counter_alone() -> None:
    one = Definition.parse(CREATE).fingerprint()
    assert Definition.parse(CREATE.replace("AUTO_INCREMENT=7", "AUTO_INCREMENT=9")).fingerprint() == one
    assert Definition.parse(CREATE.replace("varchar(20)", "varchar(21)")).fingerprint() != one


def test_renaming_follows_into_keys_and_leaving_out_is_refused_where_a_key_needs_it() -> None:
    def parent(schema: str | None, table: str) -> tuple[str | None, dict[str, str]]:
        assert (schema, table) == (None, "q")
        return "`store`.`quay`", {"id": "number"}

    parsed = Definition.parse(CREATE).renamed({"p": "part", "id": "no", "q": "r"}, frozenset(), parent)
    assert any(i == "PRIMARY KEY (`part`,`no`)" for i in parsed.items)
    # The name of a key is kept: it may be the one that the table is walked by.
    assert any(i == "KEY `id` (`no`)" for i in parsed.items)
    assert parsed.foreign() == ["CONSTRAINT `fk` FOREIGN KEY (`part`) REFERENCES `store`.`quay` (`number`) ON DELETE CASCADE"]
    assert parsed.tail.endswith("PARTITION BY RANGE (`part`) (PARTITION p0 VALUES LESS THAN (5)) */")
    with pytest.raises(ValueError, match="not carried"):
        Definition.parse(CREATE).renamed({}, frozenset({"e"}), parent)


MYSQL, MARIADB, OLD = MySQL((9, 7), "", gtid=True), MariaDB((10, 11), "", gtid=True), MariaDB((10, 5), "", gtid=True)


@pytest.mark.parametrize(("source", "target", "text", "wanted"), [
    (MYSQL, MARIADB, "`a` varchar(9) COLLATE utf8mb4_0900_ai_ci DEFAULT 'utf8mb4_0900_bin'",
     "`a` varchar(9) COLLATE utf8mb4_uca1400_nopad_ai_ci DEFAULT 'utf8mb4_0900_bin'"),
    (MYSQL, OLD, ") DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci", ") DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_nopad_ci"),
    (MYSQL, MARIADB, "`a` int DEFAULT NULL /*!80023 INVISIBLE */", "`a` int DEFAULT NULL INVISIBLE"),
    (MYSQL, MARIADB, "`a` int NOT NULL /*!80023 INVISIBLE */", "`a` int NOT NULL /*!80023 INVISIBLE */"),
    (MYSQL, MARIADB, "KEY `k` (`a`) /*!80000 INVISIBLE */", "KEY `k` (`a`) IGNORED"),
    (MARIADB, MYSQL, "`t` text DEFAULT 'it''s' COMMENT 'x'", "`t` text DEFAULT ('it''s') COMMENT 'x'"),
    (MARIADB, MYSQL, "`t` varchar(36) DEFAULT concat(uuid(),'(') COMMENT ')'", "`t` varchar(36) DEFAULT (concat(uuid(),'(')) COMMENT ')'"),
    (MARIADB, MYSQL, "`t` timestamp(3) NULL DEFAULT current_timestamp(3)", "`t` timestamp(3) NULL DEFAULT current_timestamp(3)"),
    (MARIADB, MYSQL, "`u` uuid NOT NULL", "`u` char(36) CHARACTER SET ascii NOT NULL"),
    (MARIADB, MYSQL, "KEY `k` (`a`) IGNORED", "KEY `k` (`a`) INVISIBLE"),
    (MARIADB, MYSQL, ") ENGINE=InnoDB COLLATE=utf8mb4_uca1400_ai_ci PAGE_CHECKSUM=1 `PAGE_COMPRESSED`=1 COMMENT='a=`b`=1'",
     ") ENGINE=InnoDB COLLATE=utf8mb4_0900_ai_ci COMMENT='a=`b`=1'"),
    (MYSQL, MYSQL, "`a` int /*!80023 INVISIBLE */", "`a` int /*!80023 INVISIBLE */"),
])  # fmt: skip
def test_a_definition_is_said_in_the_other_flavours_words(source: Flavour, target: Flavour, text: str, wanted: str) -> None:
    assert translated(text, source, target) == wanted


@pytest.mark.parametrize("text", ["", "CREATE VIEW `v` AS SELECT 1", "CREATE TABLE `t` (\n  `a` int", "CREATE TABLE `t` ('"])
def test_what_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Definition.parse(text)


def column(name: str, kind: str, *, nullable: bool = False) -> Column:
    text = kind.startswith(("varchar", "char", "text"))
    return Column(name, kind, "utf8mb4" if text else None, "utf8mb4_bin" if text else None, nullable, None, "", "")


def table(*columns: Column, keys: tuple[Key, ...]) -> Table:
    return Table("s", "t", "InnoDB", columns, keys)


def test_the_primary_key_is_walked_else_a_fitting_unique_one_else_none() -> None:
    a, b, e = column("a", "int"), column("b", "varchar(9)", nullable=True), column("e", "enum('x')")
    primary, nullable, odd = Key("PRIMARY", ("a",)), Key("u", ("b",)), Key("o", ("e",))
    found = walk_key(table(a, b, e, keys=(nullable, primary)))
    assert found is not None
    assert found.name == "PRIMARY"
    assert walk_key(table(a, b, e, keys=(nullable, odd))) is None
    assert walk_key(table(a, keys=(Key("u", ("a(3)",)),))) is None
    assert walk_key(table(a, keys=())) is None


def test_bounds_are_literals_that_compare_as_the_index_does() -> None:
    key = WalkKey("PRIMARY", (column("s", "varchar(9)"), column("n", "bigint unsigned"), column("b", "varbinary(4)")))
    bound = key.bound({"k0": "C3A4", "k1": b"18446744073709551615", "k2": ""})
    assert bound == ("_utf8mb4 x'C3A4' COLLATE utf8mb4_bin", "18446744073709551615", "x''")
    assert key.where(None, None) == "TRUE"
    assert key.where(bound, None) == (
        f"(`s` >= {bound[0]} AND ((`s` > {bound[0]}) OR (`s` = {bound[0]} AND `n` > {bound[1]}) OR"
        f" (`s` = {bound[0]} AND `n` = {bound[1]} AND `b` > x'')))"
    )
    assert key.where(None, bound).endswith("`b` <= x'')))".replace(")))", ")))"))


@pytest.mark.parametrize(("kind", "value"), [("int", "1 OR 1=1"), ("date", "2024' OR '1"), ("decimal(9,2)", "x")])
def test_a_value_that_is_none_of_its_type_is_no_literal(kind: str, value: str) -> None:
    with pytest.raises(ValueError):
        WalkKey("PRIMARY", (column("k", kind),)).bound({"k0": value})


def walk(chunks: list[Chunk]) -> Walk:
    record = TableRecord(("s", "t"), False, "copying", "", "", "PRIMARY", 100, 10_000, chunks=chunks)
    return Walk(record, WalkKey("PRIMARY", (column("a", "int"),)), Form("", b"", ""), 1000)


async def drain(one: Walk, highs: list[Any]) -> list[tuple[Any, Any]]:
    """All chunks that are left, with the bounds that the source would give."""
    async def bound(*_args: Any) -> Any:
        return highs.pop(0)

    async def source() -> None:
        return None

    lane: Any = type("Lane", (), {"source": staticmethod(source)})()
    one._bound = bound  # type: ignore[method-assign]
    found = []
    while (chunk := await one.take(lane)) is not None:
        found.append((chunk.low, chunk.high))
    return found


async def test_what_was_begun_and_not_committed_is_done_again_and_nothing_else() -> None:
    done = [Chunk(1, None, ("10",)), Chunk(4, ("30",), ("40",)), Chunk(4.5, ("40",), ("45",))]
    assert await drain(walk(done), [("60",), None]) == [(("10",), ("30",)), (("45",), ("60",)), (("60",), None)]
    assert await drain(walk([*done, Chunk(9, ("45",), None)]), []) == [(("10",), ("30",))]
    assert await drain(walk([]), [None]) == [(None, None)]


@pytest.mark.parametrize(
    ("declared", "told", "flags", "fits"),
    [((3, 0), 3, 0x1, True), ((3, 0), 9, 0, True), ((3, 0), 3, 0x20, False), ((3, 0), 8, 0, False), ((3, 0), 4, 0, False),
     ((8, 0x80), 8, 0x20, True), ((8, 0x80), 8, 0, False), ((2, 0x80), 13, 0x60, True), ((4, 0), 4, 0x20, True), ((5, 0), 4, 0, False),
     ((12, 0), 12, 0x80, True), ((12, 0), 7, 0, False), ((252, 0), 253, 0, True), ((252, 0), 246, 0x20, True), ((252, 0), 3, 0, False),
     ((252, 0), 6, 0, False), ((252, 0), 244, 0, False)],
)  # fmt: skip
def test_a_result_that_is_not_what_its_parameter_is_declared_as_is_noticed(declared: tuple[int, int], told: int, flags: int, *, fits: bool) -> None:
    assert Form("a", b"?", "", bytes(declared)).fits(0, told, flags) == fits


async def test_the_gate_keeps_copy_and_stream_apart() -> None:
    gate, inside, worst = Gate(), {"copy": 0, "stream": 0}, 0

    async def one(kind: str) -> None:
        nonlocal worst
        for _ in range(50):
            async with gate.copying() if kind == "copy" else gate.applying():
                inside[kind] += 1
                worst = max(worst, min(inside.values()))
                await asyncio.sleep(0)
                inside[kind] -= 1

    async def turns() -> None:
        while True:
            await gate.give_to_copy()
            await gate.begin_copy()
            await asyncio.sleep(0.001)
            await gate.give_to_stream()
            await asyncio.sleep(0.001)

    turning = asyncio.create_task(turns())
    async with asyncio.timeout(10):
        await asyncio.gather(*(one(k) for k in ("copy", "copy", "copy", "stream")))
    turning.cancel()
    assert worst == 0


async def test_a_commit_of_unknown_outcome_keeps_the_copy_out() -> None:
    gate = Gate()
    await gate.give_to_stream()
    with pytest.raises(OSError):
        async with gate.applying():
            raise OSError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await gate.give_to_copy()
    await gate.stream_is_known()
    async with asyncio.timeout(1):
        await gate.give_to_copy()


@given(st.integers(0, 100_000).map(float), st.lists(st.booleans(), max_size=80))
def test_a_number_between_two_keeps_their_order(low: float, ways: list[bool]) -> None:
    high = low + 1.0
    for lower in ways:
        number = between(low, high)
        if number is None:
            assert high - low < 1e-10
            return
        assert low < number < high
        low, high = (low, number) if lower else (number, high)


def test_there_are_numbers_for_every_row_of_a_chunk() -> None:
    number, high = 100_000.0, 100_001.0
    for _ in range(60_000):
        found = between(number, high)
        assert found is not None
        number = found


async def test_a_chunk_of_much_larger_rows_is_cut_where_it_is_taken_again() -> None:
    one = walk([Chunk(1, None, ("10",)), Chunk(2, ("50",), None)])
    one._gaps[0].large = True
    assert await drain(one, [("20",), ("30",), None]) == [(("10",), ("20",)), (("20",), ("30",)), (("30",), ("50",))]
    assert one._numbers == sorted(set(one._numbers))
