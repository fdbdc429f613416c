"""Positions against plain sets, and GTID sets against mysql-replication's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysqlreplication.gtid import GtidSet as Theirs

from segue.binlog.events import BinlogError
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid, parse

ONE, TWO = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
numbers = st.sets(st.integers(1, 60), min_size=1, max_size=40)


def text_of(one: set[int]) -> str:
    return ONE + "".join(f":{n}" for n in sorted(one))


@given(st.lists(st.tuples(st.sampled_from((ONE, TWO)), st.integers(1, 60)), max_size=60))
def test_adding_in_any_order(pairs: list[tuple[str, int]]) -> None:
    ours = GtidSet()
    for source, number in pairs:
        ours.add(source, number)
    again = GtidSet(ours.text())
    assert again.text() == ours.text()
    for source in (ONE, TWO):
        for number in range(1, 61):
            assert ours.contains(GtidSet(f"{source}:{number}")) == ((source, number) in pairs)
    if pairs:
        assert {str(g) for g in Theirs(ours.text()).gtids} == set(ours.text().split(","))


@given(numbers, numbers)
def test_contains_is_superset(one: set[int], two: set[int]) -> None:
    assert GtidSet(text_of(one)).contains(GtidSet(text_of(two))) == (one >= two)


def test_a_copy_is_its_own() -> None:
    ours = GtidSet(f"{ONE}:1-5")
    copy = ours.copy()
    ours.add(ONE, 6)
    assert (copy.text(), ours.text()) == (f"{ONE}:1-5", f"{ONE}:1-6")
    maria = MariaGtid("0-1-5")
    other = maria.copy()
    maria.add(0, 2, 6)
    assert (other.text(), maria.text()) == ("0-1-5", "0-2-6")


@given(numbers, numbers)
def test_without_is_the_difference(one: set[int], two: set[int]) -> None:
    assert GtidSet(text_of(one)).without(GtidSet(text_of(two))).text() == GtidSet(text_of(one - two) if one - two else "").text()


def test_of_one_server() -> None:
    assert GtidSet(f"{ONE}:1-3,{ONE}:tag:7,{TWO}:1").of(ONE.upper()).text() == GtidSet(f"{ONE}:1-3,{ONE}:tag:7").text()


def test_tags() -> None:
    ours = GtidSet(f"{ONE}:1-3:blue:7")
    assert ours.tagged()
    assert ours.contains(GtidSet(f"{ONE}:blue:7"))
    assert not ours.contains(GtidSet(f"{ONE}:7"))


def test_mariadb() -> None:
    ours = MariaGtid("0-1-100,5-2-7")
    assert ours.contains(MariaGtid("0-9-100"))
    assert not ours.contains(MariaGtid("0-1-101"))
    assert not ours.contains(MariaGtid("7-1-1"))


def test_file_numbers_count_as_numbers() -> None:
    assert FilePosition("binlog.1000000", 4).contains(FilePosition("binlog.999999", 400))
    assert not FilePosition("binlog.000002", 4).contains(FilePosition("binlog.000002", 5))


@pytest.mark.parametrize("text", ["nonsense", "3-4", f"{ONE}:x-y:", "0-1", "0-a-1"])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(BinlogError):
        parse(text, mariadb=text.startswith("0"))


def test_kinds_do_not_mix() -> None:
    with pytest.raises(BinlogError):
        GtidSet().contains(FilePosition("a.1", 4))
