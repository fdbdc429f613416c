"""The worker process: a listening socket inherited from control, sessions, and control's orders."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
from typing import Any

from segue.child import open_channel
from segue.errors import SegueError
from segue.ipc import Channel
from segue.log import get_logger
from segue.proxy import pump
from segue.proxy.adoption import Adoption
from segue.proxy.base import Phase, SessionBase
from segue.proxy.certificate import server_context
from segue.proxy.credentials import Credentials
from segue.proxy.door import Door
from segue.proxy.limits import Ledger, Limits
from segue.proxy.session import Session
from segue.proxy.tls import Backend

log = get_logger("proxy")
_OURS = 1 << 30
_WORKER_SHIFT = 24
_SHOWN = 100
"""Pinned sessions that status lists at most."""
_RAMP = 50
"""Sessions that are let go at once, and the seconds between."""
_RAMP_SECONDS = 0.001
_COUNTER = (1 << _WORKER_SHIFT) - 1


class SessionGone(SegueError):  # noqa: N818 - names what happened
    """A session ended while it was asked something."""

    def __init__(self) -> None:
        super().__init__("the session ended")


class Worker:
    """All sessions of one process."""

    def __init__(self) -> None:
        self.active: Backend
        self.tls: ssl.SSLContext | None = None
        self.pump: pump.Pump | None = None
        self.holding = False
        self.hold_began = 0.0
        self._watching = False
        self.sessions: set[Session] = set()
        self.waiting: dict[Session, asyncio.Future[Any]] = {}
        """Who waits for answers on a session's connection; they end with it."""
        self.credentials = Credentials()
        self.adoption: Adoption | None = None
        self.channel: Channel | None = None
        self.lost: list[dict[str, Any]] = []
        """Sessions of the last move that could not be given, with reasons."""
        self._last_move: dict[str, Any] = {}
        self._active_message: dict[str, Any] = {}
        self.both_capabilities = (-1, -1)
        self.number = 0
        self._ids: dict[int, Session] = {}
        self._elsewhere: dict[int, int] = {}
        """What other workers' ids are on the server now: used once, and gone with the next move."""
        self._resolving: set[SessionBase] = set()
        self._last_id = 0
        self._dropped = 0
        self._relocated = 0
        self._accepted = 0
        self.door = Door(self, Limits(), Ledger())
        self._server: asyncio.Server | None = None
        self._all_held = asyncio.Event()
        self._gathering = False
        """Many become held at once: whether all are is asked at the end."""
        self._releasing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def handle(self, op: str, args: dict[str, Any]) -> dict[str, Any] | None:
        """Control's orders; see the room's docstring for the whole list."""
        match op:
            case "start":
                return await self._start(args)
            case "hold":
                return await self._hold(float(args["timeout"]), close_pinned=bool(args.get("close_pinned")))
            case "release":
                return await self._release(args["active"])
            case "prepare":
                return await self._prepare(args)
            case "prepare_more":
                return await self.adoption.more(args["second"]) if self.adoption is not None else {}
            case "adopt":
                return await self._adopt(float(args["timeout"]))
            case "backend_id":
                return {"id": self.backend_id(int(args["id"])) or 0}
            case "users":
                return {"users": sorted({s.user for s in self.sessions if s.user} | set(self.credentials.strangers()))}
            case "backend":
                self.active, self._active_message = Backend(args["active"]), args["active"]
                return None
            case "turn":
                return self._turn(args["active"])
            case "limits":
                self.door.limits = Limits.from_message(args["limits"])
                return None
            case "status":
                return self.status()
            case "sessions":
                return {"sessions": [s.describe() for s in self.sessions]}
            case "stop":
                return await self._stop(float(args["timeout"]))
        raise SegueError(f"the proxy worker knows no order '{op}'")

    async def _start(self, args: dict[str, Any]) -> dict[str, Any]:
        self.active, self._active_message = Backend(args["active"]), args["active"]
        self.number = int(args.get("worker", 0))
        if args.get("tls_cert"):
            self.tls = server_context(args["tls_cert"], args["tls_key"])
        both, more = args.get("common", (-1, -1))
        self.both_capabilities = (int(both), int(more))
        ledger = Ledger(self.number, args.get("ledger_fd"))
        self.door = Door(self, Limits.from_message(args.get("limits", {})), ledger)
        self.spawn(self.door.watch())
        if args.get("held"):
            self.holding = self.watching = True
            self.hold_began = time.monotonic()
        asyncio.get_running_loop().run_in_executor(None, lambda: self.credentials.key)
        sock = socket.socket(fileno=int(args["listen_fd"]))
        loop = asyncio.get_running_loop()
        self.pump = pump.make(loop)
        self._server = await loop.create_server(self.door.entrance, sock=sock, backlog=4096)
        gc.collect()
        gc.freeze()  # what is there now stays: collections look only at what comes
        gc.set_threshold(50_000, 20, 20)
        return {"worker": self.number}

    @property
    def watching(self) -> bool:
        """All commands are looked at: clients are held, or a move is prepared."""
        return self._watching

    @watching.setter
    def watching(self, on: bool) -> None:
        self._watching = on
        if on and self.pump is not None:
            self.pump.disarm_all()

    # -- identity ----------------------------------------------------------------------------------------

    def new_id(self) -> int:
        """A connection id that no server gives and no other worker: bit 30, the worker, a counter."""
        while True:
            self._last_id = self._last_id % _COUNTER + 1
            number = _OURS | (self.number & 0x3F) << _WORKER_SHIFT | self._last_id
            if number not in self._ids:
                return number

    def backend_id(self, number: int) -> int | None:
        """The server's id of one of our sessions now; None for a number that is not one."""
        session = self._ids.get(number)
        if session is None:
            return self._elsewhere.pop(number, 0) or None
        return session.backend_id or None

    def resolve(self, number: int, session: SessionBase) -> bool:
        """True when the session has to wait: another worker's id is being asked for."""
        worker = (number >> _WORKER_SHIFT) & 0x3F
        if not number & _OURS or worker == self.number or number in self._elsewhere:
            return False
        if session in self._resolving:
            return True
        self._resolving.add(session)
        session.pause_client()
        self.spawn(self._resolve(number, session))
        return True

    async def _resolve(self, number: int, session: SessionBase) -> None:
        active = self.active
        try:
            found = int((await self.ask_control("backend_id", id=number)).get("id", 0))
        except SegueError:
            found = 0  # the server will say that it does not know it
        self._resolving.discard(session)
        if self.active is active:  # else it is a number of the other server, which may be anybody's on this one
            self._elsewhere[number] = found
        session.go_on()
        if not session.held:
            session.resume_client()

    # -- sessions tell -----------------------------------------------------------------------------------

    def joined(self, session: Session) -> None:
        self._accepted += 1
        self.sessions.add(session)
        self.door.count(len(self.sessions))
        self._ids[session.connection_id] = session

    def left(self, session: Session) -> None:
        self.sessions.discard(session)
        self.door.gone(session)
        self.door.count(len(self.sessions))
        self._ids.pop(session.connection_id, None)
        future = self.waiting.pop(session, None)
        if future is not None and not future.done():
            future.set_exception(SessionGone())
        if self.adoption is not None:
            self.adoption.forget(session)
        if self.holding:
            self.one_held()

    def count_dropped(self) -> None:
        self._dropped += 1

    def one_held(self, session: Session | None = None) -> None:
        if session is not None and self.adoption is not None:
            self.adoption.held(session)
        if not self._gathering and all(s.held for s in self.sessions):
            self._all_held.set()

    def ready_to_give(self, session: Session) -> bool:
        return self.adoption is not None and self.adoption.is_ready(session)

    def late(self, session: Session) -> None:
        """It logged in on a side that is not active any more: it moves before its first command."""
        session.held = True
        session.pause_client()
        self.spawn(self._follow(session))

    async def _follow(self, session: Session) -> None:
        """Move one session that missed the others' move, or that lost its prepared connection."""
        adoption = self.adoption
        if adoption is None or adoption.target.name != self.active.name:
            adoption = self.adoption = Adoption(self, self._last_move | {"target": self._active_message})
        await adoption.settle(session)
        if session.phase == Phase.CLOSED:
            return
        if adoption.is_ready(session):
            adoption.give(session)
            self.spawn(adoption.close_left())
            self._relocated += 1
            session.release()
        else:
            self.count_dropped()
            self.lost.append(session.describe() | {"reason": session.reason})
            log.warning("a session could not be moved and is closed", client=session.address, user=session.user,
                        reason=session.reason)  # fmt: skip
            session.leave(session.reason)

    async def ask_control(self, op: str, **args: Any) -> dict[str, Any]:
        """Raises SegueError when control does not answer in time."""
        if self.channel is None:
            raise SegueError("control is not there")
        try:
            return await self.channel.request(op, limit=10.0, **args)
        except TimeoutError:
            raise SegueError("control gave no answer") from None

    def spawn(self, job: Any) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- orders ------------------------------------------------------------------------------------------

    async def _hold(self, timeout: float, *, close_pinned: bool = False) -> dict[str, Any]:
        if not self.holding:
            self.holding = self.watching = True
            self.hold_began = time.monotonic()
        self._all_held.clear()
        self._gathering = True
        for session in list(self.sessions):
            session.try_hold()
        self._gathering = False
        self.one_held()
        try:
            async with asyncio.timeout(timeout):
                await self._all_held.wait()
        except TimeoutError:
            pass
        if close_pinned:
            for session in list(self.sessions):
                session.hold_pinned()
        waiting = [s.describe() for s in self.sessions if not s.held]
        return {"clients": len(self.sessions), "held": len(self.sessions) - len(waiting), "waiting": waiting}

    async def _prepare(self, args: dict[str, Any]) -> dict[str, Any]:
        """Open and load a session on the target for every client, who go on working."""
        self.watching = True
        for session in self.sessions:
            session.may_be_fast()
        if self.adoption is not None:
            self.adoption.end()
        self._last_move = args
        adoption = self.adoption = Adoption(self, args)
        return await adoption.prepare()

    async def _adopt(self, limit: float) -> dict[str, Any]:
        """Until every held session is ready to be given: those that are not."""
        if self.adoption is None:
            return {"unmovable": []}
        return {"unmovable": await self.adoption.finish(limit)}

    async def _release(self, active: dict[str, Any]) -> dict[str, Any]:
        """Let all go on, those that were used last first, some at a time. Control asks again when it had no answer in
        time: whoever is still on the other side then moves, or is moving."""
        async with self._releasing:
            return await self._let_go(active)

    async def _let_go(self, active: dict[str, Any]) -> dict[str, Any]:
        self.active, self._active_message = Backend(active), active
        self._elsewhere.clear()
        adoption = self.adoption
        if adoption is not None and adoption.target.name != self.active.name:
            adoption.end()
            self.adoption = adoption = None
        self.holding = self.watching = False
        dropped, relocated, self.lost = self._dropped, self._relocated, []
        late = []
        for number, session in enumerate(sorted(self.sessions, key=lambda s: not s.touched)):
            if session.phase == Phase.COMMAND and session.side.name != self.active.name:
                if adoption is not None and adoption.is_ready(session):
                    adoption.give(session)
                    session.side = self.active
                    self._relocated += 1
                    session.release()
                else:
                    late.append(session)
            else:
                session.release()
            if number % _RAMP == _RAMP - 1:
                await asyncio.sleep(_RAMP_SECONDS)
        await asyncio.gather(*(self._follow(s) for s in late))
        if adoption is not None:
            self.spawn(adoption.close_left())
        self.adoption = None
        return {"relocated": self._relocated - relocated, "dropped": self._dropped - dropped, "lost": self.lost}

    def _turn(self, active: dict[str, Any]) -> dict[str, Any]:
        """The port on the standby: its sessions end, later ones go to the new standby."""
        self.active, self._active_message = Backend(active), active
        ended = list(self.sessions)
        for session in ended:
            session.dismiss(1053, "08S01", "the roles have changed and this is the standby's port; connect again")
        return {"ended": len(ended)}

    async def _stop(self, timeout: float) -> dict[str, Any]:
        """Stop accepting, let clients leave at safe points, then close what is left."""
        if self._server is not None:
            self._server.close()
        result = await self._hold(timeout)
        for session in list(self.sessions):
            if not session.held:
                self._dropped += 1
            session.close_client()
        return {"dropped": len(result["waiting"])}

    def status(self) -> dict[str, Any]:
        return {
            "worker": self.number,
            "clients": len(self.sessions),
            "in_transaction": sum(1 for s in self.sessions if s.in_transaction),
            "held": sum(1 for s in self.sessions if s.held),
            "dropped": self._dropped,
            "relocated": self._relocated,
            "accepted": self._accepted,
            "pinned": [s.describe() for s in self.sessions if s.phase == Phase.COMMAND and s.pin][:_SHOWN],
            "compiled": self.pump.status() if self.pump is not None else None,
            **self.door.status(),
        }


async def main(fd: int) -> None:
    """Serve until control's end of the channel closes."""
    worker = Worker()
    channel = worker.channel = await open_channel(fd, worker.handle)
    await channel.wait_closed()
