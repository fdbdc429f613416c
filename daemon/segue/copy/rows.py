"""Rows out of a source, in the form that the target takes (`load`).

That is made of the row packets as they arrive (`text`), so it is between a server's sockets that rows live here, and
nothing is made of a single one. For that the driver's receive buffer is read directly; what is no plain row goes through
the driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Self

from asyncmy import errors as driver_errors
from asyncmy.protocol import FieldDescriptorPacket

from segue.copy import text
from segue.copy.lines import Form
from segue.copy.load import READ_LIMIT, warnings
from segue.errors import ConnectionLost, SegueError, ServerError
from segue.sql import Connection
from segue.wire.constants import ProtocolError
from segue.wire.framing import lenenc

MAX_ROWS: Final = 60_000
"""In one commit: a note about each must be less than the server keeps."""
_COM_QUERY: Final = 3
_COM_STMT_EXECUTE: Final = 23
_ANY_NUMBER: Final = 1 << 62


class TooLarge(SegueError):  # noqa: N818 - names what happened
    """A chunk has more bytes than a lane should hold: read fewer rows."""

    def __init__(self, table: str, rows: int, size: int) -> None:
        super().__init__(f"{table}: a chunk of more than {rows} rows, which have {size} bytes")
        self.rows = rows
        self.bytes = size


class RowText:
    """The rows of one SELECT, as `text` makes them. Nothing else may use the connection until the end."""

    def __init__(self, conn: Connection, kinds: bytes) -> None:
        self._conn = conn
        self.where = conn.where
        self._raw: Any = conn.raw
        self._kinds = kinds
        self._statement: Any = None
        """The prepared one, of binary rows."""
        self.ended = False
        self.warnings = 0
        """What the server has to say about the statement; known at the end."""

    @classmethod
    async def open(cls, conn: Connection, form: Form, clause: str, what: str) -> Self:
        """Run `SELECT` of the form's fields and `clause`; `what` tells whoever looks at the source's sessions.

        Raises ServerError, ConnectionLost.
        """
        self, raw = cls(conn, form.kinds), conn.raw
        select = f"SELECT /* segue seed: {what} */ {form.fields} {clause}"
        with self._errors():
            async with asyncio.timeout(READ_LIMIT):
                if form.types:
                    # The driver's own way makes each row of Python's values.
                    self._statement = await raw.prepare(select)
                    await raw._execute_command(_COM_STMT_EXECUTE, struct.pack("<IBI", self._statement._statement_id, 0, 1))
                else:
                    await raw._execute_command(_COM_QUERY, select)
                columns, _ = lenenc((await raw.read_packet()).get_all_data(), 0)
                if columns != len(form.kinds):
                    raise ProtocolError(f"{columns} columns instead of {len(form.kinds)}")
                for number in range(columns):
                    column = await raw.read_packet(FieldDescriptorPacket)
                    if form.types and not form.fits(number, column.type_code, column.flags):
                        raise ProtocolError(f"column {column.name} is of type {column.type_code}, flags {column.flags:#x}")
                if not raw._deprecate_eof:
                    await raw.read_packet()
        return self

    async def read(self, most: int = _ANY_NUMBER) -> tuple[int, bytes]:
        """Rows that have arrived, at least one and `most` at most, with their lines; (0, b"") at the end."""
        raw = self._raw
        with self._errors():
            while not self.ended:
                proto = raw._proto
                if proto is None:
                    raise driver_errors.OperationalError(2013, "the connection is closed")
                proto.pos, raw._next_seq_id, rows, lines, why = text.lines(
                    proto.buffer, proto.pos, proto.length, raw._next_seq_id, self._kinds, most
                )
                if rows:
                    return rows, lines
                if why == text.MORE:
                    await raw._fill_buffer(proto.length - proto.pos + 1)
                    continue
                payload = (await raw.read_packet()).get_all_data()
                if payload[0] != 0xFE or len(payload) >= 0xFFFFFF:
                    return 1, text.line(payload, self._kinds)
                self._end(payload)
                if self._statement is not None:
                    await self._statement.close()
        return 0, b""

    def _end(self, payload: bytes) -> None:
        """The last packet: an OK packet under another header, or an EOF packet."""
        at = 1
        if self._raw._deprecate_eof:
            _, at = lenenc(payload, at)
            _, at = lenenc(payload, at)
            at += 2
        self.warnings = int.from_bytes(payload[at : at + 2], "little")
        self.ended = True

    def hold(self) -> None:
        """Take nothing more from the network until `go_on`: the driver's buffer has no limit."""
        if self._raw._transport is not None and not self._raw._transport.is_closing():
            self._raw._transport.pause_reading()

    def go_on(self) -> None:
        if self._raw._transport is not None and not self._raw._transport.is_closing():
            self._raw._transport.resume_reading()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            self._conn.abandon()
            raise ConnectionLost(2013, f"no answer within {READ_LIMIT:g} s", where=self.where) from None
        except asyncio.CancelledError:
            self._conn.abandon()
            raise
        except (driver_errors.MySQLError, OSError, EOFError) as error:
            raise self._conn.translate(error) from None
        except (ProtocolError, ValueError, IndexError) as error:
            self._conn.abandon()
            raise ConnectionLost(2027, f"a result that is not understood: {error}", where=self.where) from None


async def _gather(rows: RowText, size: int, most: int = _ANY_NUMBER) -> tuple[int, list[bytes]]:
    """The next rows until they have `size` bytes of lines, are `most`, or there is none: number, and pieces of lines."""
    count, held, pieces = 0, 0, []
    try:
        async with asyncio.timeout(READ_LIMIT):
            while held < size and count < most:
                found, lines = await rows.read(most - count)
                if rows.ended:
                    break
                count += found
                held += len(lines)
                pieces.append(lines)
    except TimeoutError:
        raise ConnectionLost(2013, f"rows did not come within {READ_LIMIT:g} s", where=rows.where) from None
    return count, pieces


async def read_chunk(
    conn: Connection, form: Form, table: str, where: str, most: tuple[int, int]
) -> tuple[int, list[bytes]]:
    """Number of rows, and their lines in pieces.

    Raises TooLarge for more than `most[0]` rows, or several of `most[1]` bytes or more; the connection is cut then.
    """
    rows = await RowText.open(conn, form, f"FROM {table} WHERE {where}", "chunk")
    count, pieces = await _gather(rows, most[1], most[0] + 1)
    while not rows.ended:
        if count > 1:  # and there is more
            conn.abandon()
            raise TooLarge(table, count, sum(map(len, pieces)))
        found, further = await _gather(rows, 1)
        count, pieces = count + found, pieces + further
    await _nothing_said(conn, form, table, rows.warnings)
    return count, pieces


async def stream_rows(conn: Connection, form: Form, table: str, size: int) -> AsyncIterator[tuple[int, list[bytes]]]:
    """All rows of a table from one consistent read, in batches of about `size` bytes of lines."""
    most = MAX_ROWS // max(1, len(form.computed))
    rows = await RowText.open(conn, form, f"FROM {table}", "table")
    while True:
        count, pieces = await _gather(rows, size, most)
        if rows.ended:
            break
        rows.hold()
        yield count, pieces
        rows.go_on()
    await _nothing_said(conn, form, table, rows.warnings)
    if count:
        yield count, pieces


async def _nothing_said(conn: Connection, form: Form, table: str, number: int) -> None:
    """Raises ServerError when the source has something to say about a value that it gave."""
    found = await warnings(conn, form) if number else []
    if found:
        raise ServerError(0, f"{table} cannot be read as it is: {found[0][1]} ({found[0][0]})", where=conn.where)
