"""What a session carries that only its own server can say: asked on its own connection while it is between commands."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from segue.flavour.carrying import Questions, questions_for
from segue.proxy.asking import Command
from segue.proxy.echo import Echo, Warning_, charset_name
from segue.proxy.loading import Asked, query
from segue.proxy.spare import Unmovable
from segue.wire import ok
from segue.wire.answers import Answer, Failed, Rows

if TYPE_CHECKING:
    from segue.proxy.session import Session

_SHOW_WARNINGS = b"SHOW WARNINGS LIMIT 64"
_VARIABLES_AT_ONCE = 50
_INTEGERS: Final = frozenset({1, 2, 3, 8, 9})
_DECIMALS: Final = frozenset({0, 246})
_FLOATS: Final = frozenset({4, 5})
_UNSIGNED: Final = 32
_SAFE_NAME: Final = re.compile(rb"[\x20-\x5f\x61-\x7e]+")

Facts = dict[str, list[str]]
"""What control found in the server's tables about one connection: `variables`, `locks`, `temporary`."""


async def ask(session: Session, facts: Callable[[int], Awaitable[Facts]]) -> Asked:
    """Ask all; sets the session's echo. Raises Unmovable when an answer cannot be carried over."""
    greeting = session.greeting
    assert greeting is not None
    questions = questions_for(session.server_version)
    last, known = session.tracker.last, bool(session.tracker.last)
    locks = sorted(b"'" + name + b"'" for name in session.state.locks or ())
    commands: list[Command] = []
    # MariaDB keeps warnings over our questions. MySQL does not, and loses ROW_COUNT to SHOW WARNINGS: it is asked
    # first where the last reply is known, which has the count.
    warned = ok.warnings(last) > 0 if known else bool(questions.names)
    if warned and known:
        commands.append(query(_SHOW_WARNINGS))
    commands.append(query(questions.general(locks)))
    if warned and not known:
        commands.append(query(_SHOW_WARNINGS))
    if questions.names:
        commands.append(query(questions.names))
    answers = await session.answers(commands)
    warnings = _warnings(answers.pop(0 if known else 1)) if warned else ()
    row = _rows(answers[0]).rows[0]
    asked = _general(questions, row, locks)
    counted = ok.row_count(last) if known else _number(row[1])
    session.echo = Echo(counted, _number(row[0]), warnings)
    if questions.names:
        names = [bytes.fromhex(_ascii(r[0]).decode()) for r in _rows(answers[1]).rows]
    else:
        found = await facts(session.backend_id)
        names = [name.encode() for name in found.get("variables", ())]
        _hidden(session, found, asked)
    asked.users = await _user_variables(session, names)
    status = _rows(answers[0]).status
    session.tracker.status = status
    if session.tracker.in_transaction:
        raise Unmovable("it is in a transaction that its server did not tell of before")
    return asked


def _general(questions: Questions, row: list[bytes | None], locks: list[bytes]) -> Asked:
    held = frozenset(lock for lock, ours in zip(locks, row[5:], strict=True) if ours and _ascii(ours) == b"1")
    role = questions.role(_ascii(row[4]) if row[4] else None)
    return Asked(_number(row[2]), role, _ascii(row[3]), {}, held)


def _hidden(session: Session, found: Facts, asked: Asked) -> None:
    """What statements could hide: functions, procedures, dynamic SQL."""
    temporary = found.get("temporary", ())
    if temporary:
        raise Unmovable(f"has a temporary table ({', '.join(temporary)})")
    ours = {lock.strip(b"'").replace(b"''", b"'").decode("utf-8", "replace").lower() for lock in asked.locks}
    more = [name for name in found.get("locks", ()) if name.lower() not in ours]
    if more:
        raise Unmovable(f"holds the lock {', '.join(more)} by GET_LOCK, taken where it could not be seen")
    del session


async def _user_variables(session: Session, names: list[bytes]) -> dict[bytes, bytes]:
    """Quoted names and their values as expressions that give the same type, character set and collation."""
    values: dict[bytes, bytes] = {}
    quoted = []
    for name in names:
        if not _SAFE_NAME.fullmatch(name):
            raise Unmovable(f"has a user variable of an unusual name ({name.decode('utf-8', 'replace')})")
        quoted.append(b"@`" + name + b"`")
    for start in range(0, len(quoted), _VARIABLES_AT_ONCE):
        part = quoted[start : start + _VARIABLES_AT_ONCE]
        columns = b", ".join(b"%s, HEX(%s), CHARSET(%s), COLLATION(%s)" % (n, n, n, n) for n in part)
        (answer,) = await session.answers([query(b"SELECT " + columns + b" LIMIT 1")])
        rows = _rows(answer)
        row = rows.rows[0]
        for number, name in enumerate(part):
            at = 4 * number
            kind, _, flags = rows.columns[at]
            values[name] = _expression(kind, flags, row[at : at + 4])
    return values


def _expression(kind: int, flags: int, cells: list[bytes | None]) -> bytes:
    value, hexed, charset, collation = cells
    if value is None or hexed is None:
        return b"NULL"
    number = _ascii(value)
    if kind in _INTEGERS:
        return b"CAST(%s AS UNSIGNED)" % number if flags & _UNSIGNED else number
    if kind in _DECIMALS:
        return number
    if kind in _FLOATS:
        return number if b"e" in number.lower() else number + b"e0"
    charset, collation = _ascii(charset or b"binary"), _ascii(collation or b"binary")
    text = b"0x" + _ascii(hexed) if hexed else b"''"
    if charset == b"binary":
        return b"_binary " + text
    return b"_%s %s COLLATE %s" % (charset, text, collation)


def _warnings(answer: Answer) -> tuple[Warning_, ...]:
    if not isinstance(answer, Rows) or len(answer.columns) < 3:
        return ()
    charset = charset_name(answer.columns[2][1])
    if not charset:
        return ()
    return tuple(
        (_ascii(level or b"Note"), _number(code), message or b"", charset) for level, code, message in answer.rows
    )


def _rows(answer: Answer) -> Rows:
    if isinstance(answer, Failed):
        raise Unmovable(f"its server refused a question: {answer.text} (error {answer.code})")
    if not isinstance(answer, Rows):
        raise Unmovable("its server gave no rows to a question")
    return answer


def _ascii(value: bytes | None) -> bytes:
    """ASCII under any character_set_results, the wide ones too."""
    return (value or b"").replace(b"\0", b"")


def _number(value: bytes | None) -> int:
    return int(_ascii(value) or b"0")



