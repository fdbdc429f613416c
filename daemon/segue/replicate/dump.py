"""The dump stream: mysql-replication negotiates it, raw packets come out.

mysql-replication knows how to ask every kind of server for its binlog. It decodes every value, which passing rows on does
not need (docs/row-path.md), so the connection is taken over at the moment the dump command has
been sent. The socket is PyMySQL's, blocking and maybe TLS, so a thread waits on it; it holds no lock meanwhile.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import logging
import socket
import ssl
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysqlreplication import BinLogStreamReader

from segue.binlog.events import BinlogError
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid
from segue.config import Endpoint
from segue.errors import ConnectionLost, ServerError
from segue.sql import tls_context
from segue.wire.framing import PacketCutter

logging.getLogger("pymysqlreplication").setLevel(logging.ERROR)  # it warns about settings that check reports

HEARTBEAT = 1.0
"""Seconds without an event after which the source says that it is alive."""
SILENCE = 5.0
"""Seconds without anything after which the connection counts as hung."""
CHUNK = 256 * 1024
_DUMP_COMMANDS = (0x12, 0x1E)  # COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID
_NO_TLS = 2026
_PURGED = 1236  # ER_SOURCE_FATAL_ERROR_READING_BINLOG; its text says which of many reasons


@dataclass(slots=True)
class DumpRequest:
    """Where to read and as which replica. `position` None means the oldest binlog from its start."""

    endpoint: Endpoint
    where: str
    mariadb: bool
    server_id: int
    uuid: str
    position: GtidSet | MariaGtid | FilePosition | None


class _HandOver(Exception):  # noqa: N818 - no error: the way out of the library once the dump is asked for
    def __init__(self, connection: _Connection) -> None:
        super().__init__("dump command sent")
        self.connection = connection


class _Connection(pymysql.Connection):
    """PyMySQL's connection that stops its caller once a dump command has gone out."""

    _is_open = False

    def __init__(self, executed: bytes | None, **kw: Any) -> None:
        self._executed = executed
        super().__init__(**kw)

    def _request_authentication(self) -> None:
        super()._request_authentication()  # type: ignore[misc]
        self._is_open = True

    def _write_bytes(self, data: bytes) -> None:
        dump = self._is_open and len(data) > 4 and data[4] in _DUMP_COMMANDS
        if dump and self._executed is not None:
            data = _with_set(data, self._executed)
        super()._write_bytes(data)  # type: ignore[misc]
        if dump:
            raise _HandOver(self)


def _with_set(packet: bytes, executed: bytes) -> bytes:
    """A COM_BINLOG_DUMP_GTID packet with another GTID set: command, flags (2 bytes), server id (4), file name behind
    its length (4), offset (8), then the set behind its length (4)."""
    name = int.from_bytes(packet[11:15], "little")
    payload = packet[4 : 15 + name + 8] + len(executed).to_bytes(4, "little") + executed
    if len(payload) >= 0xFFFFFF:
        raise BinlogError("a GTID set of more than 16 MB")
    return len(payload).to_bytes(3, "little") + packet[3:4] + payload


class DumpStream:
    """An open dump. `read` gives whole packets; the first byte of each is 0, an event follows."""

    def __init__(self, connection: _Connection, where: str) -> None:
        self._connection = connection
        self._socket: socket.socket = connection._sock  # type: ignore[attr-defined]
        self._socket.settimeout(SILENCE)
        self._cutter = PacketCutter()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="dump")
        self.where = where
        self.at_head = False
        """The last read emptied the socket: what the source has sent so far has been read."""

    @classmethod
    async def open(cls, request: DumpRequest) -> DumpStream:
        """Connect and ask. Raises ConnectionLost, or ServerError when the server refuses the login."""
        loop = asyncio.get_running_loop()
        connection = await loop.run_in_executor(None, _negotiate, request)
        return cls(connection, request.where)

    async def read(self) -> list[bytes]:
        """The next packets, at least one. Raises ConnectionLost, ServerError with the server's own reason."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                chunk = await loop.run_in_executor(self._thread, self._socket.recv, CHUNK)
            except TimeoutError:
                raise ConnectionLost(2013, f"the dump stream was silent for {SILENCE:g} s", where=self.where) from None
            except (OSError, ValueError, RuntimeError) as error:
                raise ConnectionLost(2013, f"the dump stream broke: {error}", where=self.where) from None
            if not chunk:
                raise ConnectionLost(2013, "the source closed the dump stream", where=self.where)
            packets = self._cutter.feed(chunk)
            self.at_head = len(chunk) < CHUNK // 8
            if packets:
                last = packets[-1]
                if last[0] == 0xFF or (last[0] == 0xFE and len(last) < 9):
                    return self._until_end(packets)
                return packets

    def _until_end(self, packets: list[bytes]) -> list[bytes]:
        """Events before the closing packet are still good; the next read meets the end of the connection."""
        last = packets.pop()
        if packets:
            self._cutter = PacketCutter()
            self._socket.close()
            return packets
        if last[0] == 0xFF:
            code = int.from_bytes(last[1:3], "little")
            raise ServerError(code, last[9:].decode("utf-8", "replace"), where=self.where)
        raise ConnectionLost(2013, "the source ended the dump stream", where=self.where)

    def close(self) -> None:
        """Cut it; a thread that still waits is woken."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection._force_close()  # type: ignore[attr-defined]
        self._thread.shutdown(wait=False)


def _negotiate(request: DumpRequest) -> _Connection:
    context = tls_context(request.endpoint)
    try:
        return _ask(request, context)
    except ConnectionLost as error:
        if error.code != _NO_TLS or request.endpoint.tls != "preferred":
            raise
        return _ask(request, None)


def _ask(request: DumpRequest, context: ssl.SSLContext | None) -> _Connection:
    endpoint, position = request.endpoint, request.position
    settings: dict[str, Any] = {
        "host": endpoint.host, "port": endpoint.port, "user": endpoint.user, "ssl": context,
        "ssl_disabled": context is None,
        "password": endpoint.password.get_secret_value() if endpoint.password else "",
        "connect_timeout": 10, "read_timeout": 10, "write_timeout": 10, "program_name": "segue-dump",
    }  # fmt: skip
    where: dict[str, Any]
    if isinstance(position, FilePosition):
        where = {"log_file": position.file, "log_pos": position.offset, "resume_stream": True}
    elif position is None:
        where = {"log_file": "", "log_pos": 4, "resume_stream": True}
    else:
        where = {"auto_position": position.text()}
    executed = None
    if isinstance(position, GtidSet) and position.tagged():
        # The library does not know tags: it asks with a set of nothing, into whose place ours is put.
        executed = position.encoded()
        where = {"auto_position": "00000000-0000-0000-0000-000000000001:1"}
    reader = BinLogStreamReader(
        connection_settings=settings, server_id=request.server_id, blocking=True, slave_uuid=request.uuid,
        slave_heartbeat=HEARTBEAT, is_mariadb=request.mariadb and position is not None,
        pymysql_wrapper=functools.partial(_Connection, executed), enable_logging=False, **where,
    )  # fmt: skip
    try:
        reader.fetchone()
    except _HandOver as over:
        return over.connection
    except pymysql.err.MySQLError as error:
        code, text = (*error.args, "")[:2] if error.args and isinstance(error.args[0], int) else (2013, str(error))
        if 2000 <= code < 3000:
            raise ConnectionLost(code, str(text), where=request.where) from None
        raise ServerError(code, str(text), where=request.where) from None
    except OSError as error:
        raise ConnectionLost(2003, str(error), where=request.where) from None
    raise ConnectionLost(2013, "the dump was not opened", where=request.where)


async def format_description(request: DumpRequest) -> bytes:
    """A server's own FORMAT_DESCRIPTION event, complete with header, from the start of one of its binlogs."""
    stream = await DumpStream.open(request)
    try:
        for _ in range(10):
            for packet in await stream.read():
                if packet[5] == 15:
                    return packet[1:]
    finally:
        stream.close()
    raise ServerError(_PURGED, "its binlog begins with no format description", where=request.where)
