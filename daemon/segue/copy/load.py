"""Rows into a target: LOAD DATA of lines, or where the server takes them arrays of parameters (MariaDB).

An array's rows are what the source's binary row packets hold with a byte before each value, so the server takes no text
apart: docs/seeding.md has what that saves. Format: MariaDB documentation, "COM_STMT_BULK_EXECUTE". Strings are declared
BLOBs, which is how their bytes reach a column of any character set as they are.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

from asyncmy import errors as driver_errors

from segue.copy.lines import MOST_WARNINGS, Form
from segue.errors import ConnectionLost, ServerError
from segue.sql import Connection
from segue.wire.constants import ProtocolError
from segue.wire.framing import lenenc

READ_LIMIT: Final = 600.0
"""Seconds that one statement of the copy may take."""
PIECE: Final = 1 << 20
"""Bytes per packet, at most; where one row has more, an array of it alone may have."""
_COM_QUERY: Final = 3
_COM_BULK: Final = 0xFA
_TYPES_FOLLOW: Final = 128
_LARGEST: Final = 0xFFFFFF - 1
"""Bytes of a packet that no other one continues."""
_COLUMN: Final = re.compile(r"for column (?:'([^']+)'|(?:`[^`]*`\.)*`([^`]*)`)")
_VALUES: Final = frozenset({1048, 1263, 1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1441, 1644, 4025, 4038})
"""Errors about a value, where LOAD DATA LOCAL has a warning."""
_FIT: Final = "Is the column there able to hold what the source's holds?"


async def load(conn: Connection, form: Form, pieces: Sequence[bytes], count: int) -> None:
    """Give `count` rows, in pieces of whole ones, to the target inside the present transaction.

    Of arrays no piece may be larger than `room`. Raises ServerError when the target refuses, or has anything to say about
    a value: a warning here is a row that is not what it was.
    """
    try:
        async with asyncio.timeout(READ_LIMIT):
            taken = await (_arrays if form.types else _lines)(conn, form, pieces)
    except TimeoutError:
        conn.abandon()
        raise ConnectionLost(2013, f"rows were not taken within {READ_LIMIT:g} s", where=conn.where) from None
    except asyncio.CancelledError:
        conn.abandon()
        raise
    except (driver_errors.MySQLError, OSError, EOFError) as error:
        told = conn.translate(error)
        if told.code in _VALUES:
            raise _does_not_fit(f"{told.message} ({told.code})", conn.where) from None
        raise told from None
    except (ProtocolError, ValueError, IndexError) as error:
        conn.abandon()
        raise ConnectionLost(2027, f"an answer that is not understood: {error}", where=conn.where) from None
    if taken != count:
        raise ServerError(0, f"{count} rows were sent and it names {taken}", where=conn.where)


async def _lines(conn: Connection, form: Form, lines: Sequence[bytes]) -> int:
    """By LOAD DATA; how many rows its answer names."""
    raw: Any = conn.raw
    await raw._execute_command(_COM_QUERY, form.statement)
    packet = await raw.read_packet()
    if not packet.is_load_local_packet():
        raise ServerError(0, "it did not ask for the rows of LOAD DATA", where=conn.where)
    for piece in lines:
        for at in range(0, len(piece), PIECE):
            raw.write_packet(piece[at : at + PIECE])
            await raw._proto.drain()
    raw.write_packet(b"")
    _, number, said = _ok((await raw.read_packet()).get_all_data())
    await _nothing_said(conn, form, number)
    if not said.startswith("Records: ") or "Skipped: 0 " not in said:
        raise ServerError(0, f"it answers '{said}'", where=conn.where)
    return int(said.split()[1])


async def _arrays(conn: Connection, form: Form, pieces: Sequence[bytes]) -> int:
    """By arrays of parameters; how many rows the answers name."""
    raw: Any = conn.raw
    # The driver's own way makes each row of Python's values.
    head = struct.pack("<IH", await conn.prepared(form.statement), _TYPES_FOLLOW) + form.types
    taken = 0
    for rows in _packets(pieces, min(PIECE, await room(conn, form))):
        await raw._execute_command(_COM_BULK, head + rows)
        affected, number, said = _ok((await raw.read_packet()).get_all_data())
        await _nothing_said(conn, form, number)
        # Of a single row nothing is said, and one that REPLACE has put in another's place counts twice.
        taken += int(said.split()[1]) if said.startswith("Records: ") else min(affected, 1)
    return taken


async def room(conn: Connection, form: Form) -> int:
    """Bytes of rows that one packet of arrays may have."""
    return min(_LARGEST, await conn.packet_limit() - 1) - len(form.types) - 7


def _packets(pieces: Sequence[bytes], size: int) -> Iterator[bytes]:
    """The same rows, as many pieces together as `size` bytes allow."""
    held: list[bytes] = []
    for piece in pieces:
        if held and sum(map(len, held)) + len(piece) > size:
            yield b"".join(held)
            held = []
        held.append(piece)
    if held:
        yield b"".join(held)


def _ok(packet: bytes) -> tuple[int, int, str]:
    """Of an OK packet: rows affected, number of warnings (0 only where there is none), and its text."""
    if packet[0]:
        raise ProtocolError(f"a packet {packet[0]:#04x} where an OK packet was expected")
    affected, at = lenenc(packet, 1)
    _, at = lenenc(packet, at)
    said = packet[packet.find(b"Records: ") :] if b"Records: " in packet else b""
    # Two bytes hold no more than 65,535 of them; the text has the whole number.
    number = int.from_bytes(packet[at + 2 : at + 4], "little") or int(bool(said) and not said.endswith(b"Warnings: 0"))
    return affected, number, said.decode("utf-8", "replace")


async def _nothing_said(conn: Connection, form: Form, number: int) -> None:
    found = await warnings(conn, form) if number else []
    if found:
        raise _does_not_fit(f"{found[0][1]} ({found[0][0]})", conn.where)


def _does_not_fit(what: str, where: str) -> ServerError:
    return ServerError(0, f"a row of the copy does not fit there: {what}", where=where, mend=_FIT)


async def warnings(conn: Connection, form: Form) -> list[tuple[int, str]]:
    """Code and text of what the server has to say of the last statement, but for columns that it computes itself.

    Raises ServerError when there is more than it keeps: then what is not known could be a row that is not what it was.
    """
    rows = await conn.query(f"SHOW WARNINGS LIMIT {MOST_WARNINGS}")
    if len(rows) >= MOST_WARNINGS:
        raise ServerError(0, f"more than {MOST_WARNINGS} warnings about one chunk", where=conn.where,
                          mend="Make seed.chunk_bytes smaller")  # fmt: skip
    found = [(int(r["Code"]), _decoded(r["Message"])) for r in rows]
    return [w for w in found if (at := _COLUMN.search(w[1])) is None or (at[1] or at[2]).lower() not in form.computed]


def _decoded(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
