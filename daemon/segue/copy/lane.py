"""A lane: one connection to the source and one to the target, through which rows go as text.

Theory of lost answers. A lane's target connection holds a named lock, which the server frees when that connection's
work has ended, committed or not. A connection that breaks inside a chunk is followed by one that waits for the lock;
only then is the chunk's outcome known and the gate left. A process that starts takes the locks of all lanes first.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any, Final

from asyncmy import errors as driver_errors

from segue.config import Endpoint
from segue.copy.lines import MOST_WARNINGS, SOURCE_SESSION, TARGET_SESSION, Form
from segue.errors import ConnectionLost, SegueError, ServerError
from segue.sql import Connection, connect, quote

MAX_LANES: Final = 32
PIECE: Final = 1 << 20
"""Bytes per packet of LOAD DATA."""
_COM_QUERY: Final = 3
_LOCK_WAIT: Final = 15
MAX_ROWS: Final = 60_000
"""In one chunk: a note about each must be less than the server keeps."""
_CUT: Final = frozenset({1260, 1301})
_COLUMN: Final = re.compile(r"for column (?:'([^']+)'|(?:`[^`]*`\.)*`([^`]*)`)")
READ_LIMIT: Final = 600.0
"""Seconds that one statement of the copy may take."""


End = tuple[Endpoint, str]
"""A server, and its name in errors."""


class TooLarge(SegueError):  # noqa: N818 - names what happened
    """The source cut a chunk because it does not fit one packet: read fewer rows."""


class Lane:
    """Connects when it is used; a lost connection is made again."""

    def __init__(self, number: int, source: End, target: End, deployment: str, *, binlog: bool) -> None:
        """With `binlog` what it writes goes into the target's binlog."""
        self.number = number
        self._ends = (*source, *target)
        self._lock = quote(f"segue.seed.{hashlib.sha256(deployment.encode()).hexdigest()[:32]}.{number}")
        self._binlog = binlog
        self._source: Connection | None = None
        self._target: Connection | None = None

    async def source(self) -> Connection:
        if self._source is None or self._source.closed:
            conn = await connect(self._ends[0], where=self._ends[1], program="segue-seed", local_infile=False)
            try:
                for statement in SOURCE_SESSION:
                    await conn.query(statement)
            except BaseException:
                conn.abandon()
                raise
            self._source = conn
        return self._source

    async def target(self) -> Connection:
        """Its first act is to wait until an earlier connection of this lane has ended."""
        if self._target is None or self._target.closed:
            conn = await connect(self._ends[2], where=self._ends[3], program="segue-seed", local_infile=True)
            try:
                await self._take_lock(conn)
                for statement in TARGET_SESSION:
                    await conn.query(statement)
                if not self._binlog:
                    await conn.query("SET SESSION sql_log_bin = 0")
            except BaseException:
                conn.abandon()
                raise
            self._target = conn
        return self._target

    async def _take_lock(self, conn: Connection) -> None:
        for attempt in range(2):
            got = await conn.value(f"SELECT GET_LOCK({self._lock}, {_LOCK_WAIT})", timeout=_LOCK_WAIT + 10.0)
            if int(got or 0):
                return
            holder = await conn.value(f"SELECT IS_USED_LOCK({self._lock})")
            if attempt == 0 and holder is not None:
                await conn.query(f"KILL {int(holder)}")
        raise ConnectionLost(0, "an earlier connection of the copy does not end", where=conn.where,
                             mend="Is a second segue daemon running? SHOW PROCESSLIST there names it")  # fmt: skip

    def leave(self) -> None:
        """Cut both connections, and what they were doing with them."""
        for conn in (self._source, self._target):
            if conn is not None:
                conn.abandon()
        self._source = self._target = None

    async def close(self) -> None:
        for conn in (self._source, self._target):
            if conn is not None and not conn.closed:
                await conn.close()
        self._source = self._target = None


async def read_chunk(conn: Connection, form: Form, table: str, where: str) -> tuple[int, bytes]:
    """Number of rows, and their lines. Raises TooLarge when the source could not put them into one value."""
    rows, warnings = await conn.warned(
        f"SELECT COUNT(*) AS n, GROUP_CONCAT({form.line} SEPARATOR '\\n') AS t FROM {table} WHERE {where}",
        timeout=READ_LIMIT,
    )
    count, text = int(rows[0]["n"]), rows[0]["t"]
    if warnings:
        found = await _warnings(conn, form)
        if any(code in _CUT for code, _ in found):
            raise TooLarge(f"{table}: a chunk of {count} rows does not fit max_allowed_packet of the source")
        if found:
            raise ServerError(0, f"{table} cannot be read as it is: {found[0][1]} ({found[0][0]})", where=conn.where)
    if text is None:
        return count, b""
    return count, text if isinstance(text, bytes) else text.encode()


async def stream_lines(conn: Connection, form: Form, table: str, size: int) -> AsyncIterator[tuple[int, bytes]]:
    """All rows of a table, in pieces of about `size` bytes of lines, from one consistent read."""
    raw: Any = conn.raw
    count, held, parts = 0, 0, []
    try:
        await raw.query(f"SELECT {form.line} AS t FROM {table}", unbuffered=True)
        result = raw._result
        while True:
            row = await result._read_rowdata_packet_unbuffered()
            if row is None:
                break
            text = row[0]
            if text is None:
                raise TooLarge(f"a row of {table} does not fit max_allowed_packet of the source",
                               mend="Raise max_allowed_packet there; then segue seed goes on")  # fmt: skip
            count += 1
            held += len(text) + 1
            parts.append(text if isinstance(text, bytes) else text.encode())
            if held >= size or count >= MAX_ROWS // max(1, len(form.computed)):
                yield count, b"\n".join(parts)
                count, held, parts = 0, 0, []
    except (driver_errors.MySQLError, OSError, EOFError) as error:
        raise conn.translate(error) from None
    if parts:
        yield count, b"\n".join(parts)


async def load(conn: Connection, form: Form, lines: bytes, count: int) -> None:
    """Give lines to LOAD DATA inside the present transaction.

    Raises ServerError when the target refuses, or has anything to say about a value: LOCAL turns errors about
    values into warnings, and a warning here is a row that is not what it was.
    """
    raw: Any = conn.raw
    try:
        async with asyncio.timeout(READ_LIMIT):
            await raw._execute_command(_COM_QUERY, form.load)
            packet = await raw.read_packet()
            if not packet.is_load_local_packet():
                raise ServerError(0, "it did not ask for the rows of LOAD DATA", where=conn.where)
            view = memoryview(lines)
            for at in range(0, len(lines), PIECE):
                raw.write_packet(bytes(view[at : at + PIECE]))
                await raw._proto.drain()
            raw.write_packet(b"")
            answer = await raw.read_packet()
    except TimeoutError:
        conn.abandon()
        raise ConnectionLost(2013, f"LOAD DATA did not end within {READ_LIMIT:g} s", where=conn.where) from None
    except asyncio.CancelledError:
        conn.abandon()
        raise
    except (driver_errors.MySQLError, OSError, EOFError) as error:
        raise conn.translate(error) from None
    told = answer.get_all_data()
    found = [] if told.endswith(b"Warnings: 0") else await _warnings(conn, form)
    _judge(told, count, conn.where, f"{found[0][1]} ({found[0][0]})" if found else "")


async def _warnings(conn: Connection, form: Form) -> list[tuple[int, str]]:
    """Code and text of what the server has to say of the last statement, but for columns that it computes itself.

    Raises ServerError when there is more than it keeps: then what is not known could be a row that is not what it was.
    """
    rows = await conn.query(f"SHOW WARNINGS LIMIT {MOST_WARNINGS}")
    if len(rows) >= MOST_WARNINGS:
        raise ServerError(0, f"more than {MOST_WARNINGS} warnings about one chunk", where=conn.where,
                          mend="Make seed.chunk_bytes smaller")  # fmt: skip
    found = [(int(r["Code"]), _text(r["Message"])) for r in rows]
    return [w for w in found if (at := _COLUMN.search(w[1])) is None or (at[1] or at[2]).lower() not in form.computed]


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _judge(ok: bytes, count: int, where: str, warning: str) -> None:
    """The OK packet's text counts records, deleted, skipped and warnings; it must be all rows and no word more."""
    text = ok[ok.find(b"Records: ") :].decode("utf-8", "replace") if b"Records: " in ok else ""
    if warning:
        raise ServerError(0, f"a row of the copy does not fit there: {warning}", where=where,
                          mend="Is the column there able to hold what the source's holds?")  # fmt: skip
    if not text.startswith(f"Records: {count} ") or "Skipped: 0 " not in text:
        raise ServerError(0, f"{count} rows were sent and it answers '{text}'", where=where)
