"""Giving live sessions to another server.

Before the pause (`prepare`) each client gets a session on the target, logged in as that client and loaded with what
its own session carries. In the pause each session that was used since is asked what it carries, and only the
difference is applied (`settle`, begun as soon as the session is held). Then (`give`) the client's bytes go to the
prepared connection. A session that cannot be given has a `reason`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from segue.errors import SegueError
from segue.log import get_logger
from segue.proxy import asked as asking
from segue.proxy.base import Phase
from segue.proxy.credentials import Secret
from segue.proxy.facts import FactFinder
from segue.proxy.hot import Server
from segue.proxy.loading import BASELINE, Asked, Loaded, Step, Wanted, plan, query, remember
from segue.proxy.session import Session
from segue.proxy.spare import Spare, Unmovable
from segue.proxy.tls import Backend
from segue.wire import auth, reply
from segue.wire.answers import Failed, Prepared, Rows
from segue.wire.constants import COM_QUERY, COM_QUIT
from segue.wire.framing import packet
from segue.wire.login import Answer

if TYPE_CHECKING:
    from segue.proxy.worker import Worker

log = get_logger("proxy")
_AT_ONCE = 32
"""Sessions that are opened or loaded at the same time."""
_CLOSE_SECONDS = 0.005
_LOOK_SECONDS = 0.01
_TRIES = 5
"""Sessions opened for a client that resets its own, or becomes another user, meanwhile."""
_UNKNOWN = "its password is not known here"
_NOT_SETTABLE = frozenset({1227, 1229, 1238, 1621, 1193})
"""Needs a privilege, global only, read-only, read-only in sessions, unknown."""
_QUIT = packet(bytes((COM_QUIT,)), 0)


class Moving:
    """What is known of one session's move."""

    __slots__ = ("asked", "ready", "task")

    def __init__(self) -> None:
        self.asked: Asked | None = None
        self.ready = False
        self.task: asyncio.Task[None] | None = None


class Adoption:
    """One worker's part of one move to `target`."""

    def __init__(self, worker: Worker, message: dict[str, Any]) -> None:
        self.target = Backend(message["target"])
        self._worker = worker
        self._differing = {k.encode(): v.encode() for k, v in message.get("differing", {}).items()}
        self._stage2 = {u: [bytes.fromhex(h) for h in hashes] for u, hashes in message.get("stage2", {}).items()}
        self._users = {u: Secret(password=p.encode()) for u, p in message.get("users", {}).items()}
        self._second = {u: Secret(password=p.encode()) for u, p in message.get("second", {}).items()}
        self._limit = float(message.get("seconds", 10.0))
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._moving: dict[Session, Moving] = {}
        self._facts = FactFinder(worker)
        self._left: list[tuple[Any, Any]] = []
        self._over = False

    # -- before the pause ------------------------------------------------------------------------------------

    async def prepare(self) -> dict[str, Any]:
        """A session on the target for every client; those without one, each with its reason."""
        sessions = [s for s in self._worker.sessions if s.phase == Phase.COMMAND]
        return await self._prepare_all(sessions)

    async def more(self, second: dict[str, str]) -> dict[str, Any]:
        """The same for those that have none, with second passwords by user."""
        self._second = {u: Secret(password=p.encode()) for u, p in second.items()}
        return await self._prepare_all([s for s in self._worker.sessions if s.phase == Phase.COMMAND and s.spare is None])

    async def _prepare_all(self, sessions: list[Session]) -> dict[str, Any]:
        await asyncio.gather(*(self._prepare_one(s) for s in sessions))
        present = [s for s in self._worker.sessions if s.phase == Phase.COMMAND]
        failed = [self._named(s) for s in sessions if s.phase == Phase.COMMAND and s.spare is None]
        known = self._users | self._second | {u: s for u, s in self._stage2.items() if s}
        return {"prepared": sum(1 for s in present if s.spare is not None), "failed": failed,
                "strangers": [u for u in self._worker.credentials.strangers() if u not in known]}  # fmt: skip

    async def _prepare_one(self, session: Session) -> None:
        async with self._turns:
            for left in reversed(range(_TRIES)):
                session.reason = ""
                spare = None
                try:
                    spare = await self._open(session)
                    idle = session.tracker.state == reply.IDLE and session.asking is None and session.phase == Phase.COMMAND
                    if idle and session.at_safe_point():
                        await self._ask(session)
                    await self._load(session)
                    return
                except SegueError as error:
                    # A client that resets its connection, or becomes another user, meanwhile needs a new one.
                    dropped = spare is not None and session.spare is None and session.phase != Phase.CLOSED
                    if not (dropped and left):
                        self._failed(session, error)
                        return

    async def _open(self, session: Session) -> Spare:
        """Log in on the target. Raises Unmovable."""
        for _ in range(_TRIES):
            await self._logged_in(session)
            answer = session.answer
            if answer is None:
                raise Unmovable("its login was not seen")
            spare = Spare(self.target, client_tls=session.client_tls is not None)
            try:
                await self._log_in(spare, session, answer)
            except BaseException:  # a task that is cancelled too: nobody else knows this connection
                spare.close()
                raise
            if session.phase == Phase.COMMAND and session.answer is answer and not self._over:
                session.drop_spare()
                session.spare = spare
                return spare
            spare.close()
            if session.phase == Phase.CLOSED or self._over:
                raise Unmovable("the session ended" if session.phase == Phase.CLOSED else "the move is over")
        raise Unmovable("it becomes another user all the time")

    async def _logged_in(self, session: Session) -> None:
        """Behind a COM_CHANGE_USER that is under way. Raises Unmovable."""
        try:
            async with asyncio.timeout(self._limit):
                while session.phase == Phase.LOGIN:
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise Unmovable("it has not finished becoming another user") from None

    async def _log_in(self, spare: Spare, session: Session, answer: Answer) -> None:
        schema = session.state.schema  # it may change while we wait
        await spare.login(answer, self._secret(session), schema, self._limit,
                          self.target.introduction(session.peer, session.local))  # fmt: skip
        spare.loaded = Loaded(schema=schema)
        baseline, tracking = await spare.answers([query(BASELINE), (COM_QUERY, self.target.tracking)])
        if not isinstance(baseline, Rows) or isinstance(tracking, Failed):
            raise Unmovable(f"{self.target.name} does not let its account set session variables")
        names = (b"sql_mode", b"character_set_client", b"collation_connection")
        spare.loaded.baseline = dict(zip(names, (v or b"" for v in baseline.rows[0][:3]), strict=True))

    def _secret(self, session: Session) -> Secret:
        """What to log in with: the password as learnt, from the users file, or the second one; else SHA1 of it, which
        serves only where the target's account is of mysql_native_password too. Raises Unmovable."""
        secret = session.secret
        if secret is not None and secret.password is not None:
            return secret
        if secret is not None:  # a later login of the same account may have told it
            learnt = self._worker.credentials.find(session.user, auth.SHA2, secret.nonce, secret.response)
            if learnt is not None:
                return learnt
        other = self._users.get(session.user) or self._second.get(session.user)
        if other is not None:
            return other
        if secret is not None and any(secret.derive(s) for s in self._stage2.get(session.user, ())):
            return secret
        raise Unmovable(_UNKNOWN)

    async def _ask(self, session: Session) -> None:
        moving = self._of(session)
        session.touched = False
        if session.held:
            moving.asked = await asking.ask(session, self._facts.of)
            return
        session.pause_client()
        try:
            moving.asked = await asking.ask(session, self._facts.of)
        finally:
            if not session.held:
                session.go_on()
                session.resume_client()

    async def _load(self, session: Session) -> None:
        """Apply what the target's session lacks."""
        spare, moving = session.spare, self._of(session)
        if spare is None or self._over:
            raise Unmovable("it has no session on the target")
        # A session that is not held yet goes on meanwhile: what is told, and then remembered, is what it was now.
        wanted = Wanted(session.state.copy(), moving.asked or Asked(), self._differing, final=session.held)
        steps = plan(spare.loaded, wanted)
        if steps:
            await self._run(spare, steps, wanted)
        remember(spare.loaded, wanted)

    async def _run(self, spare: Spare, steps: list[Step], wanted: Wanted) -> None:
        answers = await spare.answers([s.command for s in steps if s.what != "close"])
        for step in steps:
            if step.what == "close":  # it has no answer
                spare.send([step.command])
                spare.loaded.statements.pop(step.statement, None)
                spare.loaded.known.pop(step.statement, None)
                continue
            answer = answers.pop(0)
            if isinstance(answer, Failed):
                if not step.alternatives:
                    raise Unmovable(f"{step.what} cannot be had on {spare.side.name}: {answer.text} (error {answer.code})")
                await self._one_by_one(spare, step, wanted)
            elif step.statement:
                if not isinstance(answer, Prepared):
                    raise Unmovable(f"{spare.side.name} did not prepare a statement")
                spare.loaded.statements[step.statement] = answer.statement
                spare.loaded.known[step.statement] = (wanted.state.statements or {}).get(step.statement)
            elif step.what == "GET_LOCK" and not (isinstance(answer, Rows) and answer.rows == [[b"1"]]):
                raise Unmovable(f"a lock that it holds by GET_LOCK is held by another session on {spare.side.name}")

    @staticmethod
    async def _one_by_one(spare: Spare, step: Step, wanted: Wanted) -> None:
        """What a session never set itself and cannot set (a server's own setting) may differ."""
        own = wanted.state.variables or {}
        answers = await spare.answers(step.alternatives)
        for name, answer in zip(step.variables, answers, strict=True):
            if isinstance(answer, Failed) and (name in own or answer.code not in _NOT_SETTABLE):
                raise Unmovable(
                    f"its system variable {name.decode()} cannot be set on {spare.side.name}: {answer.text}"
                    f" (error {answer.code})"
                )

    # -- in the pause ------------------------------------------------------------------------------------------

    def held(self, session: Session) -> None:
        """It has reached its safe point."""
        moving = self._of(session)
        if session.phase != Phase.COMMAND or moving.ready or moving.task is not None:
            return
        asked, spare = moving.asked, session.spare
        if (
            spare is not None and not spare.lost and asked is not None and not session.touched
            and not asked.locks and not session.state.one_shot
        ):  # fmt: skip
            moving.ready = True
            return
        moving.task = asyncio.get_running_loop().create_task(self.settle(session))

    async def settle(self, session: Session) -> None:
        """Make it ready to be given; or leave a reason."""
        moving = self._of(session)
        session.reason = ""
        try:
            if session.pin:
                raise Unmovable(session.pin)
            if session.spare is None or session.spare.lost:
                session.drop_spare()
                await self._open(session)
            if session.touched or moving.asked is None:
                await self._ask(session)
            await self._load(session)
            moving.ready = session.phase == Phase.COMMAND
        except SegueError as error:
            self._failed(session, error)

    async def finish(self, limit: float) -> list[dict[str, Any]]:
        """Until all held sessions are settled: those that cannot be given."""
        tasks = [m.task for s, m in self._moving.items() if m.task is not None and s.phase == Phase.COMMAND]
        if tasks:
            await asyncio.wait(tasks, timeout=limit)
        return [self._named(s) for s in self._worker.sessions if s.phase == Phase.COMMAND and not self.is_ready(s)]

    def is_ready(self, session: Session) -> bool:
        moving = self._moving.get(session)
        spare = session.spare
        return moving is not None and moving.ready and spare is not None and not spare.lost

    def give(self, session: Session) -> None:
        """From now on the client's bytes go to the prepared connection. Its old one is left for `close_left`."""
        spare = session.spare
        assert spare is not None
        assert spare.greeting is not None
        session.spare = None
        old, old_write = session.server, session.server_write
        session.server, session.server_write, session.server_tls = spare.transport, spare.write, spare.tls
        session.side, session.backend_id = self.target, spare.greeting.connection_id
        session.server_version = spare.greeting.version
        session.moved = session.tracked = True
        known = session.state.statements
        if known:
            session.mapped = dict(spare.loaded.statements)
            highest = max(int.from_bytes(n, "little") for n in known)
            session.next_id = max(session.next_id, highest + 1, 1 << 20)
            for statement in known.values():
                statement.unbound = bool(statement.parameters)
        else:
            session.mapped = None
        spare.transport.set_protocol(Server(session))
        self._moving.pop(session, None)
        if old is not None:
            old.set_protocol(asyncio.Protocol())
            self._left.append((old, old_write))

    async def close_left(self) -> None:
        """The connections that sessions have left, closed when all clients go on."""
        left, self._left = self._left, []
        for number, (transport, write) in enumerate(left):
            if not transport.is_closing():
                write(_QUIT)
                transport.close()
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(_CLOSE_SECONDS)

    def end(self) -> None:
        """No move any more: prepared sessions are closed."""
        self._over = True
        for moving in self._moving.values():
            if moving.task is not None:
                moving.task.cancel()
        for session in self._worker.sessions:
            session.drop_spare()

    def forget(self, session: Session) -> None:
        moving = self._moving.pop(session, None)
        if moving is not None and moving.task is not None:
            moving.task.cancel()

    # -- who -------------------------------------------------------------------------------------------------------

    def _of(self, session: Session) -> Moving:
        return self._moving.setdefault(session, Moving())

    def _failed(self, session: Session, error: SegueError) -> None:
        if self._over:
            return  # what the session has now is of another move
        session.reason = error.message
        session.drop_spare()
        if session.phase == Phase.COMMAND:
            log.info("a session cannot move", client=session.address, user=session.user, reason=error.message)

    @staticmethod
    def _named(session: Session) -> dict[str, Any]:
        return session.describe() | {"login_unknown": session.reason == _UNKNOWN, "reason": session.reason or session.state.tie or "it was not ready in time"}
