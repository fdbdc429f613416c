"""The hot path: what each chunk costs. Anything but one whole command on an idle session, or a reply, leaves it."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from segue.proxy.look import plain
from segue.wire.constants import (
    COM_INIT_DB,
    COM_PING,
    COM_QUERY,
    COM_STATISTICS,
    COM_STMT_EXECUTE,
    MAX_PAYLOAD,
    ProtocolError,
)

if TYPE_CHECKING:
    from segue.proxy.session import Session
    from segue.proxy.tls import TlsPipe

PLAIN_REPLIES = 2
"""Replies in a row with nothing special before a session goes into the compiled path (`pump`): a client that
prepares and closes statements all the time would only be carried in and out."""
_SIMPLE = frozenset({COM_INIT_DB, COM_PING, COM_STATISTICS})


def quiet(session: Session, data: bytes) -> bytes | None:
    """A whole COM_STMT_EXECUTE that may be forwarded unseen, as the server gets it. Without a cursor, of a statement that
    leaves no state, and with the parameter types that are known already, or none."""
    statements = session.state.statements
    statement = statements.get(data[5:9]) if statements is not None else None
    if statement is None or statement.loud or statement.unbound or len(data) < 14 or data[9] != 0:
        return None
    at = statement.flag_at
    if at and not (at < len(data) and (data[at] == 0 or data.startswith(statement.types, at))):
        return None
    there = session.mapped.get(data[5:9]) if session.mapped is not None else None
    return data if there is None else data[:5] + there + data[9:]


def opened(session: Session, tls: TlsPipe, data: bytes) -> bytes:
    """What TLS records hold; nothing while one is in pieces, or when the peer breaks TLS and loses its connection."""
    try:
        return tls.feed(data)
    except ssl.SSLError as error:
        session.broken(error)
        return b""


def client_chunk(session: Session, data: bytes) -> None:
    """Bytes of the client."""
    tls = session.client_tls
    if tls is not None and not (data := opened(session, tls, data)):
        return
    # The fast path: one whole command that leaves no state behind, nothing under way, nobody holds.
    if session.fast and session.tracker.state == 0 and len(data) > 4:
        command = data[4]
        length = data[0] | data[1] << 8 | data[2] << 16
        if length == len(data) - 4 and length != MAX_PAYLOAD:
            if command == COM_STMT_EXECUTE:
                out = quiet(session, data)
            else:
                out = data if (plain(data) if command == COM_QUERY else command in _SIMPLE) else None
            if out is not None:
                session.tracker.expect(command)
                session.since = 0.0
                session.server_write(out)
                return
    session.streak = 0
    session.guarded(session.from_client, data)


def server_chunk(session: Session, data: bytes) -> None:
    """Bytes of the server."""
    tls = session.server_tls
    if tls is not None and not (data := opened(session, tls, data)):
        return
    if session.phase != 2 or session.asking is not None or (session.mapped is not None and session.renumbers):
        session.guarded(session.from_server, data)
        return
    tracker = session.tracker
    try:
        data = tracker.feed(data)
    except ProtocolError as error:
        session.broken(error)
        return
    if data:
        session.client_write(data)
    if tracker.state == 0:
        if session.watched:
            session.reply_ended()
        elif session.armable:
            session.streak += 1
            if session.streak >= PLAIN_REPLIES and session.worker.pump is not None:
                session.worker.pump.arm_soon(session)


class Client(asyncio.Protocol):
    """The client's connection."""

    __slots__ = ("session",)

    def __init__(self, session: Session) -> None:
        self.session = session

    def connection_made(self, transport: Any) -> None:
        self.session.accepted(transport)

    def data_received(self, data: bytes) -> None:
        client_chunk(self.session, data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.session.client_gone()

    def pause_writing(self) -> None:
        if self.session.server is not None:
            self.session.server.pause_reading()

    def resume_writing(self) -> None:
        if self.session.server is not None:
            self.session.server.resume_reading()


class Server(asyncio.Protocol):
    """The server's connection."""

    __slots__ = ("session",)

    def __init__(self, session: Session) -> None:
        self.session = session

    def connection_made(self, transport: Any) -> None:
        self.session.connected(transport)

    def data_received(self, data: bytes) -> None:
        server_chunk(self.session, data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.session.server_gone()

    def pause_writing(self) -> None:
        self.session.server_full(full=True)

    def resume_writing(self) -> None:
        self.session.server_full(full=False)
