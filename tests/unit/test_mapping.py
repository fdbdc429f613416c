"""Mappings: tables and columns there and back, and rules that cannot all be kept."""

from __future__ import annotations

import pytest

from segue.config import Replicate
from segue.errors import ConfigError
from segue.roles import mapping_from
from segue.schema import Column, Mapping, Table


def replicate(*rules: dict[str, object], schemas: tuple[str, ...] = ("shop",)) -> Replicate:
    return Replicate.model_validate({"schemas": list(schemas), "exclude": ["shop.tmp_*"], "table": list(rules)})


def table(name: str, *columns: str) -> Table:
    made = tuple(Column(c, "int", None, None, True, None, "", "") for c in columns)
    schema, _, short = name.partition(".")
    return Table(schema, short, "InnoDB", made, ())


RULE = {"source": "shop.users", "target": "crm.customers", "rename": {"Name": "full_name"}, "ignore_columns": ["old"],
        "allow_lossy": ["name"], "default": {"origin": "web", "old": 7}}  # fmt: skip


def test_tables_there_and_back() -> None:
    mapping = Mapping.of(replicate(RULE))
    assert mapping.table("shop", "users").target == ("crm", "customers")
    assert mapping.table("shop", "other").target == ("shop", "other")
    assert mapping.wants("shop", "users")
    assert not mapping.wants("shop", "tmp_1")
    assert not mapping.wants("crm", "customers")
    back = mapping.inverse()
    assert back.wants_schema("crm")
    assert back.wants("crm", "customers")
    assert back.table("crm", "customers").target == ("shop", "users")
    assert not back.wants("crm", "other")
    assert not back.wants("shop", "users")
    assert not back.wants("shop", "tmp_1")
    assert back.wants("shop", "other")
    assert back.inverse() is mapping


def test_direction_is_the_sides() -> None:
    assert mapping_from("blue", replicate(RULE)).wants("shop", "users")
    assert mapping_from("green", replicate(RULE)).wants("crm", "customers")


def test_whole_schema() -> None:
    mapping = Mapping.of(replicate({"source": "shop.*", "target": "store.*"}))
    assert mapping.table("shop", "a").target == ("store", "a")
    back = mapping.inverse()
    assert back.table("store", "a").target == ("shop", "a")
    assert back.wants_schema("store")
    assert back.wants("store", "a")
    assert not back.wants("store", "tmp_x")
    assert not back.wants("shop", "a")
    assert not back.wants_schema("shop")


def test_columns_there_and_back() -> None:
    mapping = Mapping.of(replicate(RULE))
    one, two = table("shop.users", "id", "old", "name"), table("crm.customers", "full_name", "origin", "ID")
    match = mapping.table("shop", "users").match(one, two)
    assert [(p.source.name, p.target.name, p.source_index, p.target_index) for p in match.pairs] == [
        ("name", "full_name", 2, 0), ("id", "ID", 0, 2)]  # fmt: skip
    assert [c.name for c in match.dropped] == ["old"]
    assert [c.name for c in match.added] == ["origin"]
    assert match.missing == match.unknown == ()
    back = mapping.inverse().table("crm", "customers")
    assert back.lossy == {"full_name"}
    assert back.defaults == {"old": 7}
    match = back.match(two, one)
    assert [(p.source.name, p.target.name) for p in match.pairs] == [("ID", "id"), ("full_name", "name")]
    assert [c.name for c in match.dropped] == ["origin"]
    assert [c.name for c in match.added] == ["old"]


def test_a_column_without_counterpart_is_missing_one_way_only() -> None:
    mapping = Mapping.of(replicate())
    wide, slim = table("shop.t", "a", "b"), table("shop.t", "a")
    assert [c.name for c in mapping.table("shop", "t").match(wide, slim).missing] == ["b"]
    back = mapping.inverse().table("shop", "t").match(wide, slim)
    assert [c.name for c in back.dropped] == ["b"]
    assert back.missing == ()


def test_a_name_given_away_has_no_counterpart() -> None:
    """`a` becomes `b`; a new `a` on the target is another column, both ways."""
    mapping = Mapping.of(replicate({"source": "shop.t", "rename": {"a": "b"}}))
    one, two = table("shop.t", "a"), table("shop.t", "b", "a")
    there = mapping.table("shop", "t").match(one, two)
    assert [(p.source.name, p.target.name) for p in there.pairs] == [("a", "b")]
    assert [c.name for c in there.added] == ["a"]
    back = mapping.inverse().table("shop", "t").match(two, one)
    assert [(p.source.name, p.target.name) for p in back.pairs] == [("b", "a")]
    assert [c.name for c in back.dropped] == ["a"]


def test_exchanged_names() -> None:
    mapping = Mapping.of(replicate({"source": "shop.t", "rename": {"a": "b", "b": "a"}}))
    both = table("shop.t", "a", "b")
    for one in (mapping, mapping.inverse()):
        pairs = one.table("shop", "t").match(both, both).pairs
        assert [(p.source.name, p.target.name) for p in pairs] == [("b", "a"), ("a", "b")]


def test_names_that_are_no_columns() -> None:
    mapping = Mapping.of(replicate({"source": "shop.t", "rename": {"x": "y"}, "ignore_columns": ["z"], "default": {"w": 1}}))
    match = mapping.table("shop", "t").match(table("shop.t", "a"), table("shop.t", "a"))
    text = "; ".join(match.unknown)
    for part in ("shop.t has no column x", "shop.t has no column y", "shop.t has no column z", "no column w"):
        assert part in text


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (({"source": "other.t"},), "not among the replicated"),
        (({"source": "shop.tmp_1"},), "not among the replicated"),
        (({"source": "shop.t"}, {"source": "shop.t"}), "two sections for shop.t"),
        (({"source": "shop.a", "target": "shop.c"}, {"source": "shop.b", "target": "shop.c"}), "shop.a and shop.b to shop.c"),
        (({"source": "shop.t", "rename": {"a": "x", "b": "X"}},), "same name"),
        (({"source": "shop.t", "rename": {"a": "x"}, "ignore_columns": ["A"]},), "both renamed and ignored"),
        (({"source": "shop.*", "target": "store.t"},), "whole schema"),
        (({"source": "shop.*", "target": "store.*", "rename": {"a": "b"}},), "one table at a time"),
        (({"source": "shop.*", "target": "a.*"}, {"source": "shop.*", "target": "b.*"}), "twice"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_kept(rules: tuple[dict[str, object], ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Mapping.of(replicate(*rules))
