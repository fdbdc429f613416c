"""One client and its server connection: connecting, login, replies, safe points, the end.

The chunks themselves come in at `hot`; commands are framed in `commands`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from segue.proxy.asking import Asking, Command, into, wire
from segue.proxy.base import Phase, log
from segue.proxy.commands import Commands
from segue.proxy.compression import compress
from segue.proxy.credentials import Credentials
from segue.proxy.hot import Client, Server
from segue.proxy.limits import show
from segue.proxy.login import Login
from segue.proxy.state import happened
from segue.proxy.tls import TlsPipe
from segue.wire import reply
from segue.wire.answers import Answer, Done, Failed, Rows
from segue.wire.compression import chosen, offered
from segue.wire.constants import COM_PING, COM_QUERY, COM_QUIT, CURSOR_EXISTS, LAST_ROW_SENT, ProtocolError
from segue.wire.framing import error_payload, packet

_LEAVE_SECONDS = 0.05
_FLUSH_SECONDS = 10.0


class Session(Commands):
    """One client. All methods run in the worker's loop."""

    __slots__ = ()

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
            self.pause_client()
        else:
            self.worker.spawn(self.connect())

    async def connect(self) -> None:
        """Open the server connection; its greeting starts the login."""
        backend = self.side = self.worker.active
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
        if introduction := self.side.introduction(self.peer, self.local):
            transport.write(introduction)
        self.phase = Phase.LOGIN
        self._login = Login(self)

    # -- TLS and login ----------------------------------------------------------------------------------------

    @property
    def credentials(self) -> Credentials:
        return self.worker.credentials

    @property
    def both_capabilities(self) -> tuple[int, int]:
        return self.worker.both_capabilities

    def tls_offered(self) -> bool:
        return self.worker.tls is not None

    def compression_offered(self) -> int:
        return offered(self.worker.door.limits.compression)

    def server_wants_tls(self, *, client_tls: bool) -> bool:
        return self.side.wants_tls(client_tls=client_tls)

    def start_client_tls(self, rest: bytes) -> None:
        assert self.worker.tls is not None
        self.client_tls = TlsPipe(self.client, self.worker.tls, server_side=True)
        self.client_write = self.client_tls.write
        if rest:
            self.from_client_tls(rest)

    def start_server_tls(self) -> None:
        self.server_tls = self.side.tls_pipe(self.server)
        self.server_write = self.server_tls.write

    def logged_in(self, payload: bytes) -> None:
        """The server has accepted the client, who is told when tracking is on."""
        login = self._login
        assert login is not None
        if login.greeting is not None and self.greeting is None:
            self.greeting = login.greeting
            self.backend_id = login.greeting.connection_id
            self.server_version = login.greeting.version
        self.secret = login.secret
        self.user = login.user or self.user
        tracker = self.tracker
        tracker.deprecate_eof, tracker.strip = login.deprecate_eof, not login.tracking
        self.state.reset()
        if login.change is not None:
            self.state.schema = login.change.schema
            self.mapped = None
            if self.answer is not None:
                self.answer = self.answer.changed(login.change)
        elif login.answer is not None:
            self.answer = login.answer
            self.state.schema = login.answer.schema
        tracker.state = reply.GENERIC
        told = tracker.feed(packet(payload, 0))[4:]
        self._track(lambda: self._ready(login, told))

    def change_user(self, data: bytes, *, whole: bool) -> None:
        """COM_CHANGE_USER: a login on the same connection."""
        if self.tracker.state != reply.IDLE:
            raise ProtocolError("COM_CHANGE_USER behind an unfinished command")
        if self.greeting is None or not whole:
            raise ProtocolError("COM_CHANGE_USER in pieces is not served")
        self.fast = False
        self.phase = Phase.LOGIN
        self.drop_spare()
        self._login = Login.change_user(
            self, self.greeting, data[4:], tracker=self.tracker, same_server=not self.moved, secret=self.secret
        )
        self.user = data[5:].split(b"\0")[0].decode("utf-8", "replace")

    def _track(self, then: Callable[[], None]) -> None:
        """Turn on tracking on the server's side; an account with an expired password refuses, which is seen later."""

        def answered(answers: list[Answer]) -> None:
            self.tracked = isinstance(answers[0], Done)
            then()

        self.ask([(COM_QUERY, self.side.tracking)], answered)

    def _ready(self, login: Login, told: bytes) -> None:
        self._login = None
        self.worker.door.entered(self)
        self.phase = Phase.COMMAND
        login.finish(told)
        if algorithm := chosen(login.compression):
            compress(self, algorithm)
        if self.worker.holding:
            self.held = False
        elif self.side.name != self.worker.active.name:
            self.worker.late(self)
        self._statement_state_gone()

    def login_failed(self, payload: bytes = b"") -> None:
        self._login = None
        self.worker.door.login_refused(self, payload)
        self.close_client()

    # -- bytes ---------------------------------------------------------------------------------------------------

    def from_client_tls(self, data: bytes) -> None:
        assert self.client_tls is not None
        plain = self.client_tls.feed(data)
        if plain:
            self.from_client(plain)

    def from_client(self, data: bytes) -> None:
        """Bytes of the client, in any phase."""
        if self.phase == Phase.COMMAND:
            self.commands(self._kept + data if self._kept else data)
        elif self.phase == Phase.LOGIN:
            if self.asking is not None:
                self._kept += data
            else:
                assert self._login is not None
                self._login.from_client(data)
        elif self.phase == Phase.LEAVING:
            self._refuse_command(data)
        elif self.phase == Phase.CONNECTING:
            raise ProtocolError("the client spoke before the greeting")

    def from_server(self, data: bytes) -> None:
        """Bytes of the server off the hot path: during login, or an answer to our own command."""
        if self.asking is not None:
            if self.asking.feed(data):
                asking, self.asking = self.asking, None
                asking.finish()
        elif self.phase == Phase.LOGIN:
            assert self._login is not None
            self._login.from_server(data)
        elif self.phase == Phase.COMMAND:
            self.client_write(self._with_own_ids(data) if self.renumbers else self.tracker.feed(data))
            if self.tracker.state == reply.IDLE:
                self.reply_ended()

    def _with_own_ids(self, data: bytes) -> bytes:
        """The reply to a COM_STMT_PREPARE after a move: the id in its first packet becomes one of ours."""
        fresh = self.tracker.state == reply.PREPARE
        out = self.tracker.feed(data)
        if fresh and self.tracker.state != reply.PREPARE and out[4:5] == b"\0":
            assert self.state.statements is not None
            return out[:5] + next(reversed(self.state.statements)) + out[9:]
        return out

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
        if self._effects:
            effects, self._effects = self._effects, None
            failed = self.tracker.failed
            for effect in happened(effects, self.tracker.results) if failed else [e for _, e in effects]:
                self.state.apply(effect)
        if not self.tracked and self.phase == Phase.COMMAND and not self.half_sent:
            self._track(self.go_on)  # COM_RESET_CONNECTION turned it off
        elif self.worker.holding:
            self.try_hold()
        elif self._kept:
            self.go_on()
        else:
            self.may_be_fast()

    def sent_unanswered(self) -> None:
        """A command that has no reply has gone to the server whole: no end of a reply will be seen."""
        if self.phase != Phase.COMMAND or self.half_sent or self.held:
            return
        if not self.tracked:
            self._track(self.go_on)
        elif self.worker.holding:
            self.try_hold()

    def go_on(self) -> None:
        """What waited for us may run."""
        if self.worker.holding:
            self.try_hold()
        if self.held or self.asking is not None:
            return
        kept, self._kept = self._kept, b""
        if kept:
            self.guarded(self.from_client, kept)
        self.may_be_fast()

    def _statement_state_gone(self) -> None:
        self.cursors = None
        self.long_data = False
        self.go_on()

    # -- our own commands ------------------------------------------------------------------------------------------

    def ask(self, commands: Sequence[Command], then: Callable[[list[Answer]], None]) -> None:
        """Run commands of ours on the server's connection. Only between two commands of the client."""
        self.settle()
        self.fast = False
        self.asking = Asking(commands, then, deprecate_eof=self.tracker.deprecate_eof)
        self.to_server(wire(commands))

    async def answers(self, commands: Sequence[Command]) -> list[Answer]:
        """The same, waited for. Cancelled when the session ends."""
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self.worker.waiting[self] = future
        try:
            self.ask(commands, into(future))
            return await future
        finally:
            self.worker.waiting.pop(self, None)

    # -- holding -----------------------------------------------------------------------------------------------------

    def at_safe_point(self) -> bool:
        """Between commands and free of state that ties the session to what it has begun."""
        return not (
            self.tracker.in_transaction or self.tracker.uncertain or self.cursors or self.long_data
            or self._skip or self._infile_rest or self._effects or (self.worker.adoption is not None and self.state.tie)
        )  # fmt: skip

    def try_hold(self) -> None:
        """Hold now if this is a safe point; otherwise the next end of a reply tries again."""
        self.settle()
        self.fast, self.watched = False, True
        if self.held or self.phase == Phase.CLOSED:
            return
        if self.phase != Phase.COMMAND:
            # Not logged in: nothing of it is under way on the server. It is let through or turned away later.
            self._hold()
            return
        if self.tracker.state != reply.IDLE or self.asking is not None:
            return
        if self.tracker.uncertain and not self.half_sent:
            self.ask([(COM_PING, b"")], self._pinged)
        elif self.at_safe_point():
            self._hold()

    def hold_pinned(self) -> None:
        """Hold it although what it carries cannot move, if nothing else is in the way: it will be closed."""
        idle = self.phase == Phase.COMMAND and self.tracker.state == reply.IDLE and self.asking is None
        if not self.held and idle and self.pin and not self.tracker.in_transaction and not self.tracker.uncertain:
            self._hold()

    @property
    def pin(self) -> str:
        """Why it cannot move now though it is between transactions; empty when it can."""
        if self.cursors:
            return "has an open cursor"
        if self.long_data:
            return "has sent parameter data that was not executed"
        return self.state.tie

    def _pinged(self, answers: list[Answer]) -> None:
        answer = answers[0]
        if isinstance(answer, Done | Rows):
            self.tracker.status, self.tracker.uncertain = answer.status, False
        elif isinstance(answer, Failed):
            log.info("a server refused COM_PING", client=self.address, code=answer.code)
        self.go_on()

    def _hold(self) -> None:
        self.held = True
        if self.phase != Phase.LOGIN:
            self.pause_client()
        self.worker.one_held(self)

    def release(self) -> None:
        """Go on where the session was held."""
        self.held = False
        if self.phase == Phase.CONNECTING and self.server is None:
            self.worker.spawn(self.connect())
        elif self.server is None:
            self.close_client()
        elif self.phase == Phase.COMMAND and self.asking is None:
            self.go_on()
        self.resume_client()

    def leave(self, reason: str) -> None:
        """It cannot go on: let the client go, with an error for a command that waits."""
        self.settle()
        self.held = False
        self.reason = reason
        if self.server is not None:
            self.server.abort()
            self.server = None
        if self.phase != Phase.COMMAND:
            self.close_client()
            return
        self.phase = Phase.LEAVING
        self.fast = False
        self.asking = None
        if self._kept:
            self._refuse_command(self._kept)
            return
        self.resume_client()
        asyncio.get_running_loop().call_later(_LEAVE_SECONDS, self.close_client)

    def _refuse_command(self, data: bytes) -> None:
        if len(data) > 4 and data[4] != COM_QUIT:
            text = f"segue: the database moved to another server and this session could not ({self.reason}); this statement was not run, connect again"
            self.to_client(packet(error_payload(1053, "08S01", text), data[3] + 1))
        self.close_client()

    def server_full(self, *, full: bool) -> None:
        """Backpressure: the server does not take more from this client now."""
        self._full = full
        if full:
            self.pause_client()
        elif not self.held:
            self.resume_client()

    # -- end -----------------------------------------------------------------------------------------------------------

    def drop_spare(self) -> None:
        spare, self.spare = self.spare, None
        if spare is not None:
            spare.close()

    def dismiss(self, code: int, state: str, text: str) -> None:
        """End the session with an error, said where the protocol has room for it: not inside a reply."""
        self.settle()
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
        self.settle()
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
        if self.held and self.worker.ready_to_give(self):
            return  # it will not be missed
        if self.phase == Phase.COMMAND and (self.tracker.state != reply.IDLE or self.tracker.in_transaction):
            self.worker.count_dropped()
        self.close_client()

    def _end(self) -> None:
        if self.phase == Phase.CLOSED:
            return
        self.settle()
        self.phase = Phase.CLOSED
        self.fast = False
        self.drop_spare()
        if self.server is not None:
            # A client that went away in the middle: its server connection must not finish what nobody hears.
            if self.tracker.state == reply.IDLE and self._login is None and self.asking is None:
                self.server.close()
            else:
                self.server.abort()
            self.server = None
        self.asking = None
        self.worker.left(self)

    def describe(self) -> dict[str, Any]:
        """For `sessions` and for the reason of an abort."""
        self.settle()
        tie = self.pin
        if self.phase != Phase.COMMAND:
            state = Phase(self.phase).name.lower()
        elif self.tracker.state != reply.IDLE:
            state = "running a statement" + (" in an open transaction" if self.tracker.in_transaction else "")
        elif self.tracker.in_transaction:
            state = "in an open transaction"
        else:
            state = tie or "idle"
        if not self.since:
            self.since = time.monotonic()
        return {
            "client": self.address, "user": self.user, "connection_id": self.connection_id,
            "server_connection_id": self.backend_id, "state": state, "pinned": tie,
            "seconds": round(time.monotonic() - self.worker.hold_began, 3) if self.worker.holding else 0.0,
            "held": self.held,
        }  # fmt: skip


__all__ = ["Phase", "Session"]
