"""The pure parts of comparing: SQL of ranges and literals, rounds of settling, JSON by what it says, keys of events."""

from __future__ import annotations

import itertools
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.flavour import MariaDB, MySQL
from segue.schema import Column, Key, Table, TableMapping
from segue.verify.compare import AGAINST, MOST_AGAINST, Suspect
from segue.verify.expressions import Incomparable, fields, literal
from segue.verify.follow import Touched
from segue.verify.plan import Plan, make_plan
from segue.verify.reader import meaning, mixed, text_of

MYSQL = MySQL((9, 7, 4), "9.7.4", gtid=True)
MARIADB = MariaDB((10, 11, 18), "10.11.18-MariaDB", gtid=True)


def column(name: str, kind: str, charset: str | None = None, collation: str | None = None, *, null: bool = False) -> Column:
    return Column(name, kind, charset, collation, null, None, "", "")


def table(*columns: Column, key: tuple[str, ...] = (), name: str = "PRIMARY") -> Table:
    return Table("s", "t", "InnoDB", columns, (Key(name, key),) if key else ())


def plan(one: Table, two: Table | None = None, ends: tuple[MySQL | MariaDB, MySQL | MariaDB] = (MYSQL, MYSQL)) -> Plan:
    return make_plan(one, two or one, TableMapping(("s", "t"), ("s", "t")), ends)


WORDS = column("w", "varchar(9)", "utf8mb4", "utf8mb4_general_ci")


def test_ranges_of_a_composite_key_are_exactly_the_rows_between() -> None:
    """Every pair of bounds over a small cube, asked of a real SQL engine."""
    made = plan(table(column("a", "int"), column("b", "int"), column("c", "int"), key=("a", "b", "c")))
    rows = list(itertools.product(range(3), repeat=3))
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (a INT, b INT, c INT)")
    db.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    bounds = [None, *rows[::2]]
    for low, high in itertools.product(bounds, bounds):
        texts = [None if b is None else tuple(map(str, b)) for b in (low, high)]
        found = db.execute(f"SELECT a, b, c FROM t WHERE {made.source.within(*texts)} ORDER BY 1, 2, 3").fetchall()
        assert found == [r for r in rows if (low is None or r > low) and (high is None or r <= high)]


def test_a_key_that_two_servers_order_differently_is_not_cut_into_ranges() -> None:
    key = table(WORDS, key=("w",))
    assert plan(key).ranged
    assert not plan(key, ends=(MYSQL, MARIADB)).ranged
    assert not plan(key, table(replace(WORDS, collation="utf8mb4_bin"), key=("w",))).ranged
    binary = table(replace(WORDS, collation="utf8mb4_bin"), key=("w",))
    assert plan(binary, ends=(MYSQL, MARIADB)).ranged
    assert not plan(table(column("e", "enum('a','b')", "utf8mb4", "utf8mb4_bin"), key=("e",))).ranged


@pytest.mark.parametrize("two", [
    table(column("id", "int")),  # no key there
    table(column("id", "int"), key=("id(3)",)),
])
def test_only_a_whole_key_of_both_sides_names_rows(two: Table) -> None:
    assert not plan(table(column("id", "int"), key=("id",)), two).keyed


def test_a_key_with_null_names_no_row() -> None:
    assert not plan(table(column("u", "int", null=True), key=("u",), name="u")).keyed


@pytest.mark.parametrize(("one", "two"), [
    ("datetime", "timestamp"), ("point", "int"), ("float", "varchar(9)"), ("json", "int"),
])
def test_what_cannot_be_compared_is_refused(one: str, two: str) -> None:
    with pytest.raises(Incomparable, match="cannot be compared"):
        fields(column("c", one), column("c", two), (MYSQL, MYSQL))


def test_json_of_two_kinds_needs_a_key() -> None:
    one, two = table(column("j", "longtext", "utf8mb4", "utf8mb4_bin")), table(column("j", "json"))
    with pytest.raises(Incomparable, match="key"):
        plan(one, two, (MARIADB, MYSQL))


@given(st.binary())
def test_bytes_become_literals_that_no_mode_or_character_set_can_misread(data: bytes) -> None:
    text = literal("text", "utf8mb4", data)
    assert text == ("_utf8mb4 ''" if not data else f"_utf8mb4 0x{data.hex()}")
    assert literal("bytes", "", data) == (f"0x{data.hex()}" if data else "''")
    assert literal("bytes", "", None) == "NULL"


def test_numbers_of_doubles_are_doubles() -> None:
    assert literal("real", "", "1.5") == "1.5e0"
    assert literal("real", "", "-0") == "-0e0"
    assert literal("real", "", b"1e300") == "1e300"


# -- settling --------------------------------------------------------------------------------------------------


def test_a_version_that_the_source_had_settles_a_row() -> None:
    suspect = Suspect((b"k",))
    assert suspect.look(1, 9, 2) is None
    assert suspect.look(3, 2, 4) is True


def test_a_difference_needs_rounds_in_a_row() -> None:
    suspect = Suspect((b"k",))
    for _ in range(AGAINST - 1):
        assert suspect.look(1, 9, 1) is None
    assert suspect.look(1, 9, 1) is False


def test_a_row_that_was_seen_to_change_needs_more_rounds() -> None:
    suspect = Suspect((b"k",))
    for version in range(1, 30):
        assert suspect.look(version, 99, version + 1) is None
    verdicts = [suspect.look(1000, 99, 1000) for _ in range(MOST_AGAINST)]
    assert verdicts == [None] * (MOST_AGAINST - 1) + [False]


def test_another_version_on_either_side_begins_the_count_anew() -> None:
    suspect = Suspect((b"k",))
    suspect.look(1, 9, 1)
    suspect.look(1, 9, 1)
    assert suspect.look(1, 8, 1) is None
    assert suspect.against == 1


@given(st.lists(st.integers(0, 3), min_size=3, max_size=60), st.data())
def test_a_toggling_row_is_told_different_only_after_as_many_rounds_as_it_had_versions(history: list[int], data: st.DataObject) -> None:
    """An honest target shows some later version of each reading; one such reading alone may look like a difference."""
    suspect = Suspect((b"k",))
    at = 0
    while at < len(history):
        before = history[at]
        applied = data.draw(st.integers(at, len(history) - 1))
        after_at = data.draw(st.integers(applied, len(history) - 1))
        verdict = suspect.look(before, history[applied], history[after_at])
        if verdict is not None:
            break
        at = after_at + 1
    else:
        verdict = suspect.look(history[-1], history[-1], history[-1])
    # Toggling rows can look different in one round; not in as many in a row as versions were seen.
    assert verdict is not False or suspect.against >= AGAINST + len(suspect.seen) - 1


# -- documents -------------------------------------------------------------------------------------------------


def test_documents_are_compared_by_what_they_say() -> None:
    one, two = b'{"a": 1, "bb": [1, 2.50]}', b'{"bb":[1,2.5],"a":1}'
    assert meaning(one) == meaning(two)
    assert mixed(7, [one]) == mixed(7, [two])
    assert mixed(7, [b"1"]) != mixed(7, [b"1.0"])
    assert mixed(7, [None]) != mixed(7, [b"null"])
    assert mixed(7, [b"1", b"2"]) != mixed(7, [b"12", b""])
    assert meaning(b"no json") == "no json"
    assert mixed(7, []) == 7


def test_bytes_are_shown_as_people_read_them() -> None:
    assert text_of("ä".encode(), "utf8mb4") == "ä"
    assert text_of(b"\xe4", "latin1") == "ä"
    assert text_of(b"\xff\xfe", "utf8mb4") == "0xfffe"
    assert text_of(b"a", "") == "0x61"


# -- what was touched ------------------------------------------------------------------------------------------


def test_touched_keys_are_taken_in_order_and_once() -> None:
    touched = Touched()
    touched.keys = {("1",): 1.0, ("2",): 2.0, ("3",): 3.0}
    assert touched.take(2.5, 1) == [("1",)]
    assert touched.take(2.5, 9) == [("2",)]
    assert touched.take(2.5, 9) == []
    touched.all()
    assert touched.whole
    assert not touched.keys
