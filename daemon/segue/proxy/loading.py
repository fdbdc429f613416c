"""What a session on the target must be told, as commands in order. Pure.

Enters: what the target's session has (`Loaded`) and what the client's session carries (`Wanted`). Leaves: steps,
each a command and what its answer means; `Loaded` after the answers. Only the difference is told. All SQL is ASCII
with hexadecimal literals, so that it means the same under every character set and sql_mode; texts of prepared
statements go over as they came, under the character set they came in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from segue.proxy.asking import Command
from segue.proxy.state import Environment, State, Statement
from segue.wire.constants import COM_INIT_DB, COM_QUERY, COM_SET_OPTION, COM_STMT_CLOSE, COM_STMT_PREPARE

NOT_CARRIED: Final = frozenset(
    b"last_insert_id identity insert_id statement_id last_gtid pseudo_thread_id pseudo_slave_mode pseudo_replica_mode"
    b" warning_count error_count rand_seed1 rand_seed2 timestamp_seed gtid_executed in_transaction"
    b" session_track_system_variables session_track_schema session_track_state_change session_track_transaction_info"
    b" session_track_gtids session_track_user_variables".split()
)
"""Known in other ways, or of one server only."""
_CHARSETS: Final = (b"character_set_client", b"character_set_connection", b"character_set_results", b"collation_connection")
_NUMBER: Final = re.compile(rb"-?\d+(\.\d+)?(e[-+]?\d+)?")
_TEXT: Final = re.compile(rb"[\w .,:;/+*%@=()\[\]-]*")
BASELINE: Final = b"SELECT @@sql_mode, @@character_set_client, @@collation_connection, HEX(CURRENT_USER()) LIMIT 1"


@dataclass(slots=True)
class Asked:
    """What only questions tell."""

    last_insert_id: int = 0
    role: bytes = b""
    """As SET ROLE wants it, empty where the server has no roles."""
    collation: bytes = b""
    users: dict[bytes, bytes] = field(default_factory=dict)
    """User variables: the quoted name and its value as an SQL expression."""
    locks: frozenset[bytes] = frozenset()
    """Names of GET_LOCK, as SQL literals."""


@dataclass(slots=True)
class Wanted:
    """All that a client's session carries."""

    state: State
    asked: Asked
    differing: dict[bytes, bytes]
    """Session variables of which the two servers have different defaults, with the source's values."""
    final: bool = True
    """It is held: locks may be taken, and settings of the next transaction set, which the client could else use up."""


@dataclass(slots=True)
class Loaded:
    """What a session on the target has been told."""

    baseline: dict[bytes, bytes] = field(default_factory=dict)
    """Its own values from its login."""
    schema: bytes = b""
    variables: dict[bytes, bytes] = field(default_factory=dict)
    statements: dict[bytes, bytes] = field(default_factory=dict)
    """The client's statement ids to the target's."""
    known: dict[bytes, Statement | None] = field(default_factory=dict)
    texts: dict[bytes, tuple[bytes, Environment]] = field(default_factory=dict)
    users: dict[bytes, bytes] = field(default_factory=dict)
    last_insert_id: int = 0
    role: bytes = b""
    multi: bool | None = None


@dataclass(slots=True)
class Step:
    command: Command
    what: str
    """For the reason, should it fail."""
    statement: bytes = b""
    """The client's id of a prepared statement."""
    alternatives: tuple[Command, ...] = ()
    """What to do one by one if it fails."""
    variables: tuple[bytes, ...] = ()


def query(text: bytes) -> Command:
    return COM_QUERY, text


def literal(value: bytes) -> bytes:
    """A system variable's value in a SET."""
    if _NUMBER.fullmatch(value):
        return value
    if _TEXT.fullmatch(value):
        return b"'" + value + b"'"
    return b"CONVERT(0x" + value.hex().encode() + b" USING utf8mb4)"


def assignment(name: bytes, value: bytes) -> bytes:
    if name == b"character_set_results" and not value:
        return b"character_set_results=NULL"
    return name + b"=" + literal(value)


def wanted_variables(want: Wanted) -> dict[bytes, bytes]:
    """System variables to be told, later ones of the character set last."""
    merged = want.differing | (want.state.variables or {})
    out = {name: value for name, value in merged.items() if name not in NOT_CARRIED and name not in _CHARSETS}
    if any(name in merged for name in _CHARSETS) or want.asked.collation:
        out |= {name: merged[name] for name in _CHARSETS if name in merged}
        if want.asked.collation:
            out[b"collation_connection"] = want.asked.collation
    return out


def plan(have: Loaded, want: Wanted) -> list[Step]:
    """Steps to make the target's session carry what the client's does."""
    return list(_steps(have, want))


def _steps(have: Loaded, want: Wanted) -> Iterator[Step]:
    state, asked = want.state, want.asked
    if state.multi is not None and state.multi != have.multi:
        yield Step((COM_SET_OPTION, b"\0\0" if state.multi else b"\1\0"), "multi-statements")
    if asked.role and asked.role != have.role:
        yield Step(query(b"SET ROLE " + asked.role), "its roles")
    variables = wanted_variables(want)
    here: Environment = (have.schema, None, None, None)
    dirty = False
    missing = _missing_statements(have, state)
    final = (state.schema, state.environment()[1], state.environment()[2], state.environment()[3])
    for environment in dict.fromkeys(s.environment for _, s in missing if s.environment != final):
        yield from _enter(have, here, environment)
        here, dirty = environment, True
        yield from (_prepare(n, s) for n, s in missing if s.environment == environment)
    yield from _set(have, variables, everything=dirty)
    if state.schema and state.schema != here[0]:
        yield Step((COM_INIT_DB, state.schema), "its schema")
    yield from (_prepare(n, s) for n, s in missing if s.environment == final)
    gone = [number for number in have.statements if number not in (state.statements or {})]
    yield from (Step((COM_STMT_CLOSE, have.statements[n]), "close", statement=n) for n in gone)
    yield from _texts(have, state)
    users = {n: v for n, v in asked.users.items() if have.users.get(n) != v}
    users |= {n: b"NULL" for n in have.users if n not in asked.users}
    for part in _chunks(list(users.items()), 40):
        sets = b", ".join(n + b"=" + v for n, v in part)
        yield Step(query(b"SET " + sets), "its user variables")
    if asked.last_insert_id != have.last_insert_id:
        yield Step(query(b"DO LAST_INSERT_ID(%d)" % asked.last_insert_id), "LAST_INSERT_ID")
    if not want.final:
        return
    for name in asked.locks:
        yield Step(query(b"SELECT GET_LOCK(" + name + b", 0) LIMIT 1"), "GET_LOCK")
    for text in filter(None, state.one_shot.split(b";")):
        yield Step(query(text), "SET TRANSACTION")


def _missing_statements(have: Loaded, state: State) -> list[tuple[bytes, Statement]]:
    """Not yet prepared there, or under an id that means another text by now."""
    known = state.statements or {}
    return [(n, s) for n, s in known.items() if have.known.get(n) is not s]


def _prepare(number: bytes, statement: Statement) -> Step:
    return Step((COM_STMT_PREPARE, statement.text), "a prepared statement", statement=number)


def _enter(have: Loaded, here: Environment, there: Environment) -> Iterator[Step]:
    """Make the target's session mean by a text what the client's meant then."""
    if there[0] and there[0] != here[0]:
        yield Step((COM_INIT_DB, there[0]), "a prepared statement's schema")
    mode = there[1] if there[1] is not None else have.baseline.get(b"sql_mode", b"")
    client = there[2] or have.baseline.get(b"character_set_client", b"utf8mb4")
    collation = there[3] or (b"" if there[2] else have.baseline.get(b"collation_connection", b""))
    parts = [b"sql_mode=" + literal(mode), b"character_set_client=" + literal(client)]
    parts.append(b"collation_connection=" + literal(collation) if collation else b"character_set_connection=" + literal(client))
    yield Step(query(b"SET " + b", ".join(parts)), "a prepared statement's settings")


def _set(have: Loaded, variables: dict[bytes, bytes], *, everything: bool) -> Iterator[Step]:
    changed = {n: v for n, v in variables.items() if have.variables.get(n) != v}
    if any(n in changed for n in _CHARSETS) or everything:
        # They change one another: all of them, in order.
        for name in _CHARSETS:
            changed.pop(name, None)
            if name in variables:
                changed[name] = variables[name]
    if everything:
        for name in (b"sql_mode", b"character_set_client", b"collation_connection"):
            if name not in variables and name in have.baseline:
                changed = {name: have.baseline[name]} | changed
    if not changed:
        return
    single = tuple(query(b"SET " + assignment(n, v)) for n, v in changed.items())
    whole = b"SET " + b", ".join(assignment(n, v) for n, v in changed.items())
    yield Step(query(whole), "its system variables", alternatives=single, variables=tuple(changed))


def _texts(have: Loaded, state: State) -> Iterator[Step]:
    known = state.texts or {}
    for name, value in known.items():
        if have.texts.get(name) != value:
            yield Step(query(value[0]), f"PREPARE {name.decode('utf-8', 'replace')}")
    for name in have.texts:
        if name not in known:
            yield Step(query(b"DEALLOCATE PREPARE `" + name + b"`"), "DEALLOCATE PREPARE")


def _chunks(items: list[tuple[bytes, bytes]], size: int) -> Iterator[list[tuple[bytes, bytes]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def remember(have: Loaded, want: Wanted) -> None:
    """All steps were done (statements are noted one by one, by their answers)."""
    state, asked = want.state, want.asked
    have.variables |= wanted_variables(want)
    have.schema = state.schema or have.schema
    have.users = dict(asked.users)
    have.texts = dict(state.texts or {})
    have.last_insert_id = asked.last_insert_id
    have.role = asked.role or have.role
    have.multi = state.multi if state.multi is not None else have.multi
