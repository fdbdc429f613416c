"""What a session holds, and the small things that every part of it needs."""

from __future__ import annotations

import ssl
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from segue.log import get_logger
from segue.proxy.limits import Address
from segue.proxy.look import Effect
from segue.proxy.state import State
from segue.proxy.tls import Backend, TlsPipe
from segue.wire import reply
from segue.wire.constants import ANY_TRANSACTION, ProtocolError
from segue.wire.login import Greeting

if TYPE_CHECKING:
    from segue.proxy._pump import Pair
    from segue.proxy.asking import Asking
    from segue.proxy.credentials import Secret
    from segue.proxy.echo import Echo
    from segue.proxy.login import Login
    from segue.proxy.spare import Spare
    from segue.proxy.worker import Worker
    from segue.wire.login import Answer

log = get_logger("proxy")


class Phase(IntEnum):
    CONNECTING = 0
    LOGIN = 1
    COMMAND = 2
    LEAVING = 3
    """It cannot go on: the next command is answered with an error, then the client leaves."""
    CLOSED = 4


class SessionBase:
    """State of one client. All methods run in the worker's loop."""

    __slots__ = ("_effects", "_full", "_infile_rest", "_kept", "_login", "_paused", "_preparing", "_skip", "address",
                 "answer", "armable", "asking", "backend_id", "client", "client_tls", "client_write", "compressed",
                 "connection_id", "cursors", "echo", "fast", "greeting", "held", "last_statement", "local", "long_data",
                 "mapped", "moved", "next_id", "pair", "peer", "phase", "reason", "secret", "server", "server_tls",
                 "server_version", "server_write", "side", "since", "spare", "state", "streak", "touched", "tracked",
                 "tracker", "user", "watched", "worker")  # fmt: skip

    def __init__(self, worker: Worker, peer: Address, local: Address) -> None:
        self.worker = worker
        self.peer = peer
        """The client, as a load balancer in front may have said; `local` is where it connected to."""
        self.local = local
        self.phase: int = Phase.CONNECTING
        self.state = State()
        self.tracker = reply.ReplyTracker(self)
        self.client: Any = None
        self.server: Any = None
        self.client_tls: TlsPipe | None = None
        self.server_tls: TlsPipe | None = None
        self.client_write: Any = None
        self.server_write: Any = None
        self.side: Backend = worker.active
        """The side that `server` is a connection to."""
        self.fast = False
        """May the fast path be taken: logged in, nobody holds, no packet half sent, no statement state."""
        self.armable = False
        """May it go into the compiled path then: its sockets carry the protocol's own bytes."""
        self.compressed = False
        self.pair: Pair | None = None
        """Its place in the compiled path; `settle` before anything here is looked at or touched."""
        self.streak = 0
        """Replies in a row in which the Python path saw nothing special."""
        self.watched = False
        """Somebody wants to know when a reply ends."""
        self.held = self.tracked = False
        self.touched = True
        """Something was run since its state was last asked for."""
        self.asking: Asking | None = None
        """Our own commands under way on the server's connection."""
        self.cursors: set[bytes] | None = None
        self.long_data, self.last_statement = False, b""
        self.mapped: dict[bytes, bytes] | None = None
        """After a move: the client's statement ids to the server's."""
        self.moved = False
        """Its server is not the one whose greeting the client saw."""
        self.next_id = 0
        """After a move: ids for new statements, above all that the client has ever seen."""
        self.user = self.address = self.server_version = ""
        self.connection_id = worker.new_id()
        """As the client knows it; the server's own is `backend_id`."""
        self.backend_id = 0
        self.since = 0.0
        self.greeting: Greeting | None = None
        self.answer: Answer | None = None
        self.secret: Secret | None = None
        self.spare: Spare | None = None
        self.echo: Echo | None = None
        """What the next command may ask for that our own questions have overwritten."""
        self.reason = ""
        """Why it could not be moved when that was tried."""
        self._login: Login | None = None
        self._kept = self._infile_rest = b""
        self._skip = 0
        self._paused = self._full = False
        self._effects: list[tuple[int, Effect]] | None = None
        """Of commands under way, each with the number of its statement in its command; -1 when it is one of several."""
        self._preparing: list[bytes] | None = None

    # -- what tracker and parts call ---------------------------------------------------------------------------

    def state_changed(self, block: bytes) -> None:
        self.state.take(block)

    def prepared(self, statement: bytes, parameters: int) -> None:
        raise NotImplementedError

    def try_hold(self) -> None:
        raise NotImplementedError

    def sent_unanswered(self) -> None:
        raise NotImplementedError

    def close_client(self) -> None:
        raise NotImplementedError

    def settle(self) -> None:
        """Leave the compiled path: the tracker is up to date and the transports are ours again."""
        if self.pair is not None and self.worker.pump is not None:
            self.worker.pump.disarm(self)

    @property
    def coded(self) -> bool:
        """The bytes of a socket are not the protocol's: TLS on either hop, or compression."""
        return self.client_tls is not None or self.server_tls is not None or self.compressed

    @property
    def renumbers(self) -> bool:
        """A statement is being prepared whose id the client must not see: it has moved, ids are ours."""
        return self.mapped is not None and bool(self._preparing)

    @property
    def in_transaction(self) -> bool:
        if self.pair is not None:
            return bool(self.pair.status & ANY_TRANSACTION)
        return self.tracker.in_transaction

    @property
    def half_sent(self) -> bool:
        """A command of the client has not gone to the server whole: nothing of ours may come between."""
        return bool(self._skip or self._infile_rest)

    @property
    def at_rest(self) -> bool:
        """Between a reply and the next command."""
        return (self.tracker.state if self.pair is None else self.pair.state) == reply.IDLE

    def drop_spare(self) -> None:
        raise NotImplementedError

    def go_on(self) -> None:
        raise NotImplementedError

    # -- bytes ---------------------------------------------------------------------------------------------------

    def to_client(self, data: bytes) -> None:
        if self.client is not None:
            self.client_write(data)

    def to_server(self, data: bytes) -> None:
        if self.server is not None:
            self.server_write(data)

    def guarded(self, method: Any, data: bytes) -> None:
        """Run one step; a peer that breaks a protocol loses its own connection and nothing else."""
        try:
            method(data)
        except (ProtocolError, ssl.SSLError) as error:
            self.broken(error)

    def broken(self, error: Exception) -> None:
        log.info("connection ended: protocol error", client=self.address, user=self.user, error=str(error))
        self.close_client()

    def pause_client(self) -> None:
        if not self._paused and self.client is not None:
            self._paused = True
            self.client.pause_reading()

    def resume_client(self) -> None:
        if self._paused and not self._full and self.client is not None:
            self._paused = False
            self.client.resume_reading()

    # -- which path ------------------------------------------------------------------------------------------------

    @property
    def tied_up(self) -> bool:
        """Something is half done, or the next command must be looked at."""
        state = self.state
        return bool(
            self._skip or self._kept or self._infile_rest or self.long_data or self.cursors or self.echo
            or state.one_shot or state.tables_locked
        )  # fmt: skip

    def may_be_fast(self) -> None:
        worker = self.worker
        plain = self.phase == Phase.COMMAND and self.asking is None and not self.tied_up
        self.fast = plain and not worker.watching and self.tracker.state != reply.INFILE
        self.armable = self.fast and worker.pump is not None and not self.coded
        self.watched = worker.holding or not self.tracked or bool(self.last_statement or self._effects or self._preparing)
