"""One client and its server connection: bytes forwarded whole, commands framed, safe points known.

The chunks themselves come in at `hot`; here is everything that is not one whole command on an idle session.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from segue.log import get_logger
from segue.proxy.hot import Client, Server
from segue.proxy.limits import Address, show
from segue.proxy.login import Login
from segue.proxy.tls import Backend, TlsPipe
from segue.wire import reply
from segue.wire.constants import (
    COM_CHANGE_USER,
    COM_PING,
    COM_QUIT,
    COM_RESET_CONNECTION,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_RESET,
    COM_STMT_SEND_LONG_DATA,
    CURSOR_EXISTS,
    LAST_ROW_SENT,
    MAX_PAYLOAD,
    PING_PACKET,
    ProtocolError,
)
from segue.wire.framing import error_payload, packet
from segue.wire.login import Greeting

if TYPE_CHECKING:
    from segue.proxy.worker import Worker

log = get_logger("proxy")
_STATEMENT_COMMANDS = frozenset(
    {COM_STMT_EXECUTE, COM_STMT_FETCH, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE, COM_STMT_RESET, COM_RESET_CONNECTION}
)
_LEAVE_SECONDS = 0.05
_FLUSH_SECONDS = 10.0


class Phase(IntEnum):
    CONNECTING = 0
    LOGIN = 1
    COMMAND = 2
    LEAVING = 3
    """The active side is another now: the next command is answered with an error, then the client leaves."""
    CLOSED = 4


class Session:
    """One client. All methods run in the worker's loop."""

    __slots__ = ("_full", "_infile_rest", "_kept", "_login", "_paused", "_skip", "address", "client", "client_tls",
                 "client_write", "connection_id", "cursors", "fast", "greeting", "held", "last_statement", "local", "long_data",
                 "own_ping", "peer", "phase", "server", "server_tls", "server_write", "since", "tracker", "user", "watched",
                 "worker")  # fmt: skip

    def __init__(self, worker: Worker, peer: Address, local: Address) -> None:
        self.worker = worker
        self.peer = peer
        """The client, as a load balancer in front may have said; `local` is where it connected to."""
        self.local = local
        self.phase: int = Phase.CONNECTING
        self.tracker = reply.ReplyTracker()
        self.client: Any = None
        self.server: Any = None
        self.client_tls: TlsPipe | None = None
        self.server_tls: TlsPipe | None = None
        self.client_write: Any = None
        self.server_write: Any = None
        self.fast = False
        """May the fast path be taken: logged in, nobody holds, no packet half sent, no statement state."""
        self.watched = False
        """Somebody wants to know when a reply ends."""
        self.held = False
        self.own_ping = False
        self.cursors: set[bytes] | None = None
        self.long_data = False
        self.last_statement = b""
        self.user = ""
        self.address = ""
        self.connection_id = 0
        self.since = 0.0
        self.greeting: Greeting | None = None
        self._login: Login | None = None
        self._kept = b""
        self._skip = 0
        self._infile_rest = b""
        self._paused = False
        self._full = False

    # -- connection ----------------------------------------------------------------------------------------

    def protocol(self) -> Client:
        return Client(self)

    def accepted(self, transport: Any) -> None:
        self.client = transport
        self.client_write = transport.write
        self.address = show(self.peer)
        self.worker.joined(self)
        if self.worker.holding:
            self.held = True  # the greeting waits for the release
            self._pause_client()
        else:
            self.worker.spawn(self.connect())

    async def connect(self) -> None:
        """Open the server connection; its greeting starts the login."""
        backend = self.worker.active
        try:
            await backend.open(lambda: Server(self))
        except (OSError, TimeoutError) as error:
            text = f"segue: cannot reach the {backend.name} server: {error or 'no answer'}"
            self.to_client(packet(error_payload(1040, "", text), 0))
            self.close_client()

    def connected(self, transport: Any) -> None:
        if self.phase == Phase.CLOSED:
            transport.abort()
            return
        self.server = transport
        self.server_write = transport.write
        if introduction := self.worker.active.introduction(self.peer, self.local):
            transport.write(introduction)
        self.phase = Phase.LOGIN
        self._login = Login(self)

    def to_client(self, data: bytes) -> None:
        if self.client is not None:
            self.client_write(data)

    def to_server(self, data: bytes) -> None:
        if self.server is not None:
            self.server_write(data)

    # -- TLS and login ----------------------------------------------------------------------------------------

    def tls_offered(self) -> bool:
        return self.worker.tls is not None

    def server_wants_tls(self, *, client_tls: bool) -> bool:
        return self.worker.active.wants_tls(client_tls=client_tls)

    def start_client_tls(self, rest: bytes) -> None:
        assert self.worker.tls is not None
        self.client_tls = TlsPipe(self.client, self.worker.tls, server_side=True)
        self.client_write = self.client_tls.write
        if rest:
            self.from_client_tls(rest)

    def start_server_tls(self) -> None:
        backend = self.worker.active
        assert backend.context is not None
        host = backend.endpoint.host if backend.context.check_hostname else None
        self.server_tls = TlsPipe(self.server, backend.context, server_side=False, hostname=host)
        self.server_write = self.server_tls.write

    def logged_in(self, payload: bytes, user: str, *, deprecate_eof: bool) -> None:
        login = self._login
        assert login is not None
        if login.greeting is not None:
            self.greeting = login.greeting
            self.connection_id = login.greeting.connection_id
        self._login = None
        self.worker.door.entered(self)
        self.user = user or self.user
        self.phase = Phase.COMMAND
        self.tracker.deprecate_eof = deprecate_eof
        self.tracker.state = reply.GENERIC
        self.tracker.feed(packet(payload, 0))
        self._statement_state_gone()
        if self.worker.holding:
            self.try_hold()

    def login_failed(self, payload: bytes = b"") -> None:
        self._login = None
        self.worker.door.login_refused(self, payload)
        self.close_client()

    # -- bytes ---------------------------------------------------------------------------------------------------

    def guarded(self, method: Any, data: bytes) -> None:
        """Run one step; a peer that breaks a protocol loses its own connection and nothing else."""
        try:
            method(data)
        except (ProtocolError, ssl.SSLError) as error:
            self.broken(error)

    def broken(self, error: Exception) -> None:
        log.info("connection ended: protocol error", client=self.address, user=self.user, error=str(error))
        self.close_client()

    def from_client_tls(self, data: bytes) -> None:
        assert self.client_tls is not None
        plain = self.client_tls.feed(data)
        if plain:
            self.from_client(plain)

    def from_client(self, data: bytes) -> None:
        """Bytes of the client, in any phase."""
        if self.phase == Phase.LOGIN:
            assert self._login is not None
            self._login.from_client(data)
        elif self.phase == Phase.COMMAND:
            self._commands(self._kept + data if self._kept else data)
        elif self.phase == Phase.LEAVING:
            self._refuse_command(data)
        elif self.phase == Phase.CONNECTING:
            raise ProtocolError("the client spoke before the greeting")

    def _commands(self, data: bytes) -> None:
        """Cut at command boundaries, so that a hold can stop a pipelining client between two."""
        self._kept = b""
        tracker = self.tracker
        pos, end = 0, len(data)
        while pos < end:
            if self._skip:
                taken = min(self._skip, end - pos)
                self.to_server(data[pos : pos + taken] if pos or taken < end else data)
                self._skip -= taken
                pos += taken
                continue
            if tracker.state == reply.INFILE:
                pos = self._file_data(data, pos)
                continue
            if end - pos < 5:
                self._kept = data[pos:]
                break
            if self.worker.holding and tracker.state == reply.IDLE and self._at_safe_point():
                self._kept = data[pos:]
                self.try_hold()
                break
            length = int.from_bytes(data[pos : pos + 3], "little")
            if length == 0:
                raise ProtocolError("an empty command")
            self._begin(data, pos, length)
            if self.phase == Phase.LOGIN:  # COM_CHANGE_USER: the rest belongs to its exchange
                rest = data[pos + 4 + length :]
                self.to_server(data[pos : pos + 4 + length])
                if rest and self._login is not None:
                    self._login.from_client(rest)
                return
            stop = self._end_of_command(pos, length)
            self._skip = max(0, stop - end)
            self.to_server(data[pos:stop] if pos or stop < end else data)
            pos = min(stop, end)
        self._may_be_fast()

    def _end_of_command(self, pos: int, length: int) -> int:
        """Where this packet ends. A packet of 16 MB - 1 goes on: its continuation is forwarded as file data is."""
        if length == MAX_PAYLOAD:
            self._infile_rest = b"\xff"
        return pos + 4 + length

    def _begin(self, data: bytes, pos: int, length: int) -> None:
        """Note what a command changes before it is forwarded."""
        if self._infile_rest:  # the continuation of a command over 16 MB is no command
            if length < MAX_PAYLOAD:
                self._infile_rest = b""
            return
        command = data[pos + 4]
        if command == COM_CHANGE_USER:
            if self.tracker.state != reply.IDLE:
                raise ProtocolError("COM_CHANGE_USER behind an unfinished command")
            if self.greeting is None or len(data) < pos + 4 + length:
                raise ProtocolError("COM_CHANGE_USER in pieces is not served")
            self.fast = False
            self.phase = Phase.LOGIN
            self._login = Login.change_user(self, self.greeting, deprecate_eof=self.tracker.deprecate_eof)
            self.user = data[pos + 5 : pos + 4 + length].split(b"\0")[0].decode("utf-8", "replace")
            return
        if command in _STATEMENT_COMMANDS:
            self._note_statement(command, data[pos + 5 : pos + 9])
        self.tracker.expect(command)

    def _note_statement(self, command: int, statement: bytes) -> None:
        if command == COM_STMT_SEND_LONG_DATA:
            self.long_data = True
        elif command in (COM_STMT_EXECUTE, COM_STMT_FETCH):
            self.last_statement = statement
            self.long_data = False
        elif command == COM_RESET_CONNECTION:
            self._statement_state_gone()
        else:
            self.long_data = False
            if self.cursors:
                self.cursors.discard(statement)

    def _statement_state_gone(self) -> None:
        self.cursors = None
        self.long_data = False
        self._may_be_fast()

    def _file_data(self, data: bytes, pos: int) -> int:
        """LOCAL INFILE: packets of file data up to an empty one."""
        if len(data) - pos < 4:
            self._kept = data[pos:]
            return len(data)
        length = int.from_bytes(data[pos : pos + 3], "little")
        stop = min(pos + 4 + length, len(data))
        self._skip = pos + 4 + length - stop
        self.to_server(data[pos:stop])
        if length == 0:
            self.tracker.file_sent()
        return stop

    def from_server(self, data: bytes) -> None:
        """Bytes of the server off the hot path: during login, over TLS, or the answer to our own ping."""
        if self.server_tls is not None:
            data = self.server_tls.feed(data)
            if not data:
                return
        if self.phase == Phase.LOGIN:
            assert self._login is not None
            self._login.from_server(data)
            return
        if self.phase != Phase.COMMAND:
            return
        if self.own_ping:
            self.tracker.feed(data)
            if self.tracker.state == reply.IDLE:
                self.own_ping = False
                self.reply_ended()
            return
        self.client_write(data)
        self.tracker.feed(data)
        if self.tracker.state == reply.IDLE:
            self.reply_ended()

    def reply_ended(self) -> None:
        """The session is between reply and next command."""
        if self.last_statement:
            status = self.tracker.status
            if status & LAST_ROW_SENT:
                if self.cursors:
                    self.cursors.discard(self.last_statement)
            elif status & CURSOR_EXISTS:
                self.cursors = (self.cursors or set()) | {self.last_statement}
            self.last_statement = b""
        if self.worker.holding:
            self.try_hold()
        else:
            self._may_be_fast()

    # -- holding -----------------------------------------------------------------------------------------------------

    def _may_be_fast(self) -> None:
        tied = self._skip or self._kept or self._infile_rest or self.long_data or self.cursors
        plain = self.phase == Phase.COMMAND and not tied
        self.fast = plain and not self.worker.holding and self.tracker.state != reply.INFILE and self.server_tls is None
        self.watched = self.worker.holding or bool(self.last_statement)

    def _at_safe_point(self) -> bool:
        """Between commands and free of state that ties the session to what it has begun."""
        return not (
            self.tracker.in_transaction or self.tracker.uncertain or self.cursors or self.long_data
            or self._skip or self._infile_rest
        )  # fmt: skip

    def try_hold(self) -> None:
        """Hold now if this is a safe point; otherwise the next end of a reply tries again."""
        self.fast, self.watched = False, True
        if self.held or self.phase == Phase.CLOSED:
            return
        if self.phase != Phase.COMMAND:
            # Not logged in: nothing of it is under way on the server. It is let through or turned away later.
            self._hold()
            return
        if self.tracker.state != reply.IDLE or self.own_ping:
            return
        if self.tracker.uncertain and not self._skip:
            self.own_ping = True
            self.tracker.expect(COM_PING)
            self.to_server(PING_PACKET)
        elif self._at_safe_point():
            self._hold()

    def _hold(self) -> None:
        self.held = True
        if self.phase != Phase.LOGIN:
            self._pause_client()
        self.worker.one_held()

    def _pause_client(self) -> None:
        if not self._paused and self.client is not None:
            self._paused = True
            self.client.pause_reading()

    def resume_client(self) -> None:
        if self._paused and not self._full and self.client is not None:
            self._paused = False
            self.client.resume_reading()

    def release(self) -> None:
        """Go on where the session was held."""
        self.held = False
        if self.phase == Phase.CONNECTING and self.server is None:
            self.worker.spawn(self.connect())
        elif self.phase == Phase.COMMAND:
            kept, self._kept = self._kept, b""
            if kept:
                self.guarded(self.from_client, kept)
            self._may_be_fast()
        self.resume_client()

    def leave(self) -> None:
        """The active side is another: let the client go, with an error for a command that waits."""
        self.held = False
        if self.server is not None:
            self.server.abort()
            self.server = None
        if self.phase != Phase.COMMAND:
            self.close_client()
            return
        self.phase = Phase.LEAVING
        self.fast = False
        if self._kept:
            self._refuse_command(self._kept)
            return
        self.resume_client()
        asyncio.get_running_loop().call_later(_LEAVE_SECONDS, self.close_client)

    def _refuse_command(self, data: bytes) -> None:
        if len(data) > 4 and data[4] != COM_QUIT:
            text = "segue: the database moved to another server; this statement was not run, connect again"
            self.to_client(packet(error_payload(1053, "08S01", text), data[3] + 1))
        self.close_client()

    def server_full(self, *, full: bool) -> None:
        """Backpressure: the server does not take more from this client now."""
        self._full = full
        if full:
            self._pause_client()
        elif not self.held:
            self.resume_client()

    # -- end -----------------------------------------------------------------------------------------------------------

    def dismiss(self, code: int, state: str, text: str) -> None:
        """End the session with an error, said where the protocol has room for it: not inside a reply."""
        sequence: int | None = None
        if self._login is not None:
            sequence = self._login.client_next
        elif self.phase == Phase.CONNECTING or (self.phase == Phase.COMMAND and self.tracker.state == reply.IDLE):
            sequence = 0
        if sequence is not None:
            state = state if self.phase == Phase.COMMAND or sequence else ""
            self.to_client(packet(error_payload(code, state, f"segue: {text}"), sequence))
        self.close_client()

    def close_client(self) -> None:
        """End both connections, what was written to the client still goes out if it is read in time."""
        if self.client is not None:
            if self.client.get_write_buffer_size():
                asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.client.abort)
            self.client.close()
        self._end()

    def client_gone(self) -> None:
        self.client = None
        self._end()

    def server_gone(self) -> None:
        """The server ended the connection. In the middle of something the client was dropped by it."""
        self.server = None
        if self.phase in (Phase.LEAVING, Phase.CLOSED):
            return
        if self.phase == Phase.COMMAND and (self.tracker.state != reply.IDLE or self.tracker.in_transaction):
            self.worker.count_dropped()
        self.close_client()

    def _end(self) -> None:
        if self.phase == Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self.fast = False
        if self.server is not None:
            # A client that went away in the middle: its server connection must not finish what nobody hears.
            if self.tracker.state == reply.IDLE and self._login is None:
                self.server.close()
            else:
                self.server.abort()
            self.server = None
        self.worker.left(self)

    def describe(self) -> dict[str, Any]:
        """For `sessions` and for the reason of an abort."""
        if self.phase != Phase.COMMAND:
            state = Phase(self.phase).name.lower()
        elif self.tracker.state != reply.IDLE:
            state = "running a statement" + (" in an open transaction" if self.tracker.in_transaction else "")
        elif self.tracker.in_transaction:
            state = "in an open transaction"
        elif self.cursors:
            state = "with an open cursor"
        elif self.long_data:
            state = "with half-sent parameter data"
        else:
            state = "idle"
        if not self.since:
            self.since = time.monotonic()
        return {
            "client": self.address, "user": self.user, "connection_id": self.connection_id, "state": state,
            "seconds": round(time.monotonic() - self.worker.hold_began, 3) if self.worker.holding else 0.0,
            "held": self.held,
        }  # fmt: skip


__all__ = ["Backend", "Phase", "Session"]
