"""What a session on the target is told: the difference only, in an order that is right."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from segue.control.logins import read_users
from segue.errors import ConfigError
from segue.proxy.echo import Echo
from segue.proxy.loading import Asked, Loaded, Wanted, plan, remember
from segue.proxy.look import Effect, Kind
from segue.proxy.state import State, Statement
from segue.wire.constants import COM_INIT_DB, COM_QUERY, COM_STMT_EXECUTE, COM_STMT_PREPARE
from segue.wire.framing import packet
from segue.wire.statements import execute_types, flag_offset, with_types


def texts(have: Loaded, want: Wanted) -> list[tuple[int, bytes]]:
    return [step.command for step in plan(have, want)]


def test_nothing_carried_nothing_told_and_what_was_told_is_not_repeated() -> None:
    have, state = Loaded(), State()
    assert texts(have, Wanted(state, Asked(), {})) == []
    state.schema = b"shop"
    state.variables = {b"wait_timeout": b"100", b"sql_mode": b"", b"session_track_schema": b"ON"}
    want = Wanted(state, Asked(users={b"@`a`": b"5"}, last_insert_id=7), {b"time_zone": b"+01:00"})
    assert texts(have, want) == [
        (COM_QUERY, b"SET time_zone='+01:00', wait_timeout=100, sql_mode=''"), (COM_INIT_DB, b"shop"),
        (COM_QUERY, b"SET @`a`=5"), (COM_QUERY, b"DO LAST_INSERT_ID(7)"),
    ]  # fmt: skip
    remember(have, want)
    assert texts(have, want) == []
    later = Wanted(state, Asked(users={b"@`b`": b"6"}, last_insert_id=7), want.differing)
    assert texts(have, later) == [(COM_QUERY, b"SET @`b`=6, @`a`=NULL")]


def test_character_sets_are_set_together_and_the_collation_last() -> None:
    state = State()
    state.variables = {b"character_set_connection": b"latin1", b"character_set_client": b"latin1", b"character_set_results": b""}
    want = Wanted(state, Asked(collation=b"latin1_german1_ci"), {})
    ((_, text),) = texts(Loaded(), want)
    assert text == (
        b"SET character_set_client='latin1', character_set_connection='latin1', character_set_results=NULL,"
        b" collation_connection='latin1_german1_ci'"
    )


def test_a_statement_is_prepared_as_it_was_meant_then() -> None:
    state = State()
    state.schema = b"now"
    state.variables = {b"sql_mode": b"ANSI_QUOTES"}
    old = Statement(b'SELECT "a"', (b"then", None, None, None), 0, 0)
    new = Statement(b"SELECT 1", state.environment(), 0, 0)
    state.statements = {b"\1\0\0\0": old, b"\2\0\0\0": new}
    have = Loaded(schema=b"now", baseline={b"sql_mode": b"STRICT_ALL_TABLES", b"character_set_client": b"utf8mb4"})
    commands = texts(have, Wanted(state, Asked(), {}))
    assert commands[0] == (COM_INIT_DB, b"then")
    assert b"sql_mode='STRICT_ALL_TABLES'" in commands[1][1]
    assert commands[2] == (COM_STMT_PREPARE, old.text)
    assert b"sql_mode='ANSI_QUOTES'" in commands[3][1]
    assert commands[4:] == [(COM_INIT_DB, b"now"), (COM_STMT_PREPARE, new.text)]


def test_locks_and_the_next_transaction_are_only_for_a_held_session() -> None:
    state = State()
    state.apply(Effect(Kind.ONE_SHOT, text=b"SET TRANSACTION READ ONLY"))
    asked = Asked(locks=frozenset({b"'a'"}))
    assert texts(Loaded(), Wanted(state, asked, {}, final=False)) == []
    assert texts(Loaded(), Wanted(state, asked, {}))[-1] == (COM_QUERY, b"SET TRANSACTION READ ONLY")
    state.apply(Effect(Kind.BEGIN))
    assert len(texts(Loaded(), Wanted(state, asked, {}))) == 1


def test_ties_come_and_go() -> None:
    state = State()
    for bind, free in (
        (Effect(Kind.TEMPORARY, b"t"), Effect(Kind.DROP, b"t")), (Effect(Kind.LOCK_TABLES), Effect(Kind.BEGIN)),
        (Effect(Kind.GLOBAL_LOCK), Effect(Kind.UNLOCK_TABLES)), (Effect(Kind.HANDLER_OPEN, b"h"), Effect(Kind.HANDLER_CLOSE, b"h")),
    ):  # fmt: skip
        state.apply(bind)
        assert state.tie
        state.apply(free)
        assert not state.tie
    state.apply(Effect(Kind.GLOBAL_LOCK))
    state.apply(Effect(Kind.BEGIN))
    assert state.tie


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"SELECT ROW_COUNT()", b"SELECT 5 AS `ROW_COUNT()`"),
        (b"select found_rows() ;", b"SELECT 9 AS `found_rows()`"),
        (b"SELECT ROW_COUNT() + FOUND_ROWS()", b"SELECT 5 + 9"),
        (b"SELECT 'ROW_COUNT()', ROW_COUNT()", None),
        (b"SHOW COUNT(*) WARNINGS", b"SELECT 1 AS `@@session.warning_count`"),
        (b"SELECT @@warning_count, @@error_count", b"SELECT 1, 0"),
        (b"SHOW WARNINGS", b"SELECT 'Note' AS `Level`, 1 AS `Code`, CONVERT(0x78 USING utf8mb4) AS `Message`"),
        (b"SHOW ERRORS", b"SELECT '' AS `Level`, 0 AS `Code`, '' AS `Message` LIMIT 0"),
        (b"SELECT 1", None),
    ],
)
def test_the_next_command_gets_what_our_questions_have_overwritten(text: bytes, wanted: bytes | None) -> None:
    assert Echo(5, 9, ((b"Note", 1, b"x", "utf8mb4"),)).rewrite(text) == wanted


def test_types_are_put_into_an_execution_that_brings_none() -> None:
    body = b"\x17" + b"\1\0\0\0" + b"\0" + b"\1\0\0\0" + b"\0"  # two parameters
    types, values = b"\x03\x00\x08\x00", b"abcd"
    bound, unbound = packet(body + b"\1" + types + values, 0), packet(body + b"\0" + values, 0)
    assert execute_types(bound, 2) == types
    assert execute_types(unbound, 2) is None
    assert with_types(COM_STMT_EXECUTE, unbound, 2, types) == bound
    assert (flag_offset(0), flag_offset(8), flag_offset(9)) == (0, 15, 16)


def test_users_file(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text('# comment\n"app" "se""cret"\n\n; more\n"b c" ""\n')
    path.chmod(0o600)
    assert read_users(path) == {"app": 'se"cret', "b c": ""}
    path.write_text("app secret-word\n")
    with pytest.raises(ConfigError, match="line 1") as refused:
        read_users(path)
    assert "secret-word" not in str(refused.value)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others"):
        read_users(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
