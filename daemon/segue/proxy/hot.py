"""The hot path: what each chunk costs. Anything but one whole command on an idle session, or a reply, leaves it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from segue.wire.constants import (
    COM_CHANGE_USER,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
    MAX_PAYLOAD,
    ProtocolError,
)

if TYPE_CHECKING:
    from segue.proxy.session import Session


class Client(asyncio.Protocol):
    """The client's connection."""

    __slots__ = ("session",)

    def __init__(self, session: Session) -> None:
        self.session = session

    def connection_made(self, transport: Any) -> None:
        self.session.accepted(transport)

    def data_received(self, data: bytes) -> None:
        session = self.session
        if session.client_tls is not None:
            session.guarded(session.from_client_tls, data)
            return
        # The fast path: one whole command, nothing under way, nobody holds.
        if session.fast and session.tracker.state == 0 and len(data) > 4:
            command = data[4]
            length = data[0] | data[1] << 8 | data[2] << 16
            # COM_STMT_EXECUTE without a cursor leaves no state behind.
            simple = (command < COM_STMT_PREPARE and command != COM_CHANGE_USER) or (
                command == COM_STMT_EXECUTE and length > 9 and data[9] == 0
            )
            if simple and length == len(data) - 4 and length != MAX_PAYLOAD:
                session.tracker.expect(command)
                session.since = 0.0
                session.server_write(data)
                return
        session.guarded(session.from_client, data)

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
        session = self.session
        if session.phase != 2 or session.server_tls is not None or session.own_ping:
            session.guarded(session.from_server, data)
            return
        session.client_write(data)
        tracker = session.tracker
        try:
            tracker.feed(data)
        except ProtocolError as error:
            session.broken(error)
            return
        if tracker.state == 0 and session.watched:
            session.reply_ended()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.session.server_gone()

    def pause_writing(self) -> None:
        self.session.server_full(full=True)

    def resume_writing(self) -> None:
        self.session.server_full(full=False)
