"""Which statements are let through unseen, and what is read from the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.proxy.look import SCANNED, Effect, Kind, look, plain
from segue.wire.framing import packet


def query(text: bytes) -> bytes:
    return packet(b"\x03" + text, 0)


@pytest.mark.parametrize(
    ("text", "unseen"),
    [
        (b"SELECT 1", True),
        (b"select a from t where b = 'x@y'", True),
        (b"INSERT INTO t VALUES (1)", True),
        (b"BEGIN", True),
        (b"commit", True),
        (b"START TRANSACTION READ ONLY", True),
        (b"SELECT GET_LOCK('a', 1)", False),
        (b"select get_lock ('a', 1)", False),
        (b"SELECT 1; SET autocommit=0", False),
        (b"/* x */ SELECT 1", False),
        (b" SELECT 1", False),
        (b"SET autocommit = 0", False),
        (b"CREATE TEMPORARY TABLE t (a INT)", False),
        (b"CALL p()", False),
        (b"LOCK TABLES t READ", False),
        (b"KILL 5", False),
        (b"USE shop", False),
        (b"INSERT INTO t VALUES ('" + b"x" * 2 * SCANNED + b"')", True),
        (b"INSERT INTO t SELECT '" + b"x" * 2 * SCANNED + b"', GET_LOCK('a', 1)", False),
        (b"SELECT '" + b"x" * SCANNED + b"'", False),
        (b"", False),
    ],
)
def test_what_is_plain(text: bytes, unseen: bool) -> None:
    assert plain(query(text)) is unseen


@pytest.mark.parametrize(
    ("text", "effects"),
    [
        (b"CREATE TEMPORARY TABLE IF NOT EXISTS `Shop`.`A b` (x INT)", [Effect(Kind.TEMPORARY, b"a b")]),
        (b"create or replace temporary table t1 select 1", [Effect(Kind.TEMPORARY, b"t1")]),
        (b"DROP TABLE IF EXISTS a, s.b", [Effect(Kind.DROP, b"a"), Effect(Kind.DROP, b"b")]),
        (b"drop temporary table t", [Effect(Kind.DROP, b"t")]),
        (b"LOCK TABLES a READ, b WRITE", [Effect(Kind.LOCK_TABLES)]),
        (b"LOCK INSTANCE FOR BACKUP", [Effect(Kind.GLOBAL_LOCK)]),
        (b"FLUSH TABLES WITH READ LOCK", [Effect(Kind.GLOBAL_LOCK)]),
        (b"FLUSH PRIVILEGES", []),
        (b"UNLOCK TABLES", [Effect(Kind.UNLOCK_TABLES)]),
        (b"HANDLER t OPEN AS h", [Effect(Kind.HANDLER_OPEN, b"h")]),
        (b"HANDLER h READ FIRST", []),
        (b"HANDLER h CLOSE", [Effect(Kind.HANDLER_CLOSE, b"h")]),
        (b"SELECT GET_LOCK('it''s', 1)", [Effect(Kind.LOCK, b"it''s")]),
        (b"SELECT GET_LOCK(CONCAT('a', 'b'), 1)", [Effect(Kind.LOCK, b"", b"?")]),
        (b"SELECT RELEASE_LOCK('a')", []),
        (b"SET TRANSACTION READ ONLY", [Effect(Kind.ONE_SHOT, text=b"SET TRANSACTION READ ONLY")]),
        (b"SET SESSION TRANSACTION READ ONLY", []),
        (b"/*!40101 SET TRANSACTION READ ONLY */", [Effect(Kind.ONE_SHOT, text=b"/*!40101 SET TRANSACTION READ ONLY */")]),
        (b"/* hint */ CALL p(1)", [Effect(Kind.OPAQUE)]),
        (b"PREPARE s FROM 'select 1; '", [Effect(Kind.PREPARE, b"s", b"PREPARE s FROM 'select 1; '")]),
        (b"PREPARE s FROM @text", [Effect(Kind.PREPARE, b"s")]),
        (b"DEALLOCATE PREPARE S", [Effect(Kind.DEALLOCATE, b"s")]),
        (b"DROP PREPARE s", [Effect(Kind.DEALLOCATE, b"s")]),
        (b"KILL QUERY 17", [Effect(Kind.KILL, b"17")]),
        (b"BEGIN", [Effect(Kind.BEGIN)]),
        (b"SELECT 'LOCK TABLES; CALL p()'", []),
        (b"SET @a = 1; -- x\nCREATE TEMPORARY TABLE z (a INT); SELECT 2", [Effect(Kind.TEMPORARY, b"z")]),
        (b"SELECT * FROM t", [Effect(Kind.TRANSACTION)]),
    ],
)
def test_what_is_read(text: bytes, effects: list[Effect]) -> None:
    assert look(text) == effects


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(text: bytes) -> None:
    look(text)
    plain(query(text))
