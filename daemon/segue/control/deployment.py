"""One deployment, from start to stop. It lends itself to the switchover as its `World`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from segue import __version__
from segue.config import load
from segue.control import filling
from segue.control.begin import preflight
from segue.control.cloning import Cloning
from segue.control.feed import FeedControl
from segue.control.keeper import Keeper
from segue.control.reload import changes
from segue.control.sessions import SessionMoves
from segue.control.standby import StandbyPort
from segue.control.verification import Verification, refusal
from segue.control.way import Way
from segue.control.workers import Workers
from segue.copy.desk import CLONING, EMPTY, Desk, phase
from segue.copy.record import ACTIVE
from segue.errors import Refused, SegueError
from segue.flavour import common_capabilities
from segue.log import get_logger
from segue.proxy.certificate import ensure_certificate
from segue.replicate import progress
from segue.roles import Roles
from segue.switchover import guardrails, hooks
from segue.switchover.claim import Claim, NotOwner
from segue.switchover.conductor import Conductor, Run
from segue.switchover.force import require_dead, statement
from segue.switchover.forecast import forecast
from segue.switchover.journal import Journal
from segue.switchover.machine import BEFORE_COMMIT, State
from segue.switchover.server import Server
from segue.switchover.sessions import left_behind
from segue.switchover.stage import RealStage
from segue.switchover.wayback import WayBack, describe

log = get_logger("control")
SCAN_LIMIT = 3.0
FORECAST_FROM = 5
"""How many of the last switchovers a forecast looks at."""


class Control:
    """The daemon's middle: everybody is asked through it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = load(path)
        self.journal = Journal(self.config.deployment.state_dir, self.config.deployment.name)
        self._claim = Claim(self.config.deployment.name, self.journal.owner, lambda: self.journal.epoch,
                            lambda: self.desk.state != CLONING)  # fmt: skip
        self.desk = Desk()
        self._servers = self._make_servers(Roles.of(self.config, self.journal.active))
        self.keeper = Keeper(self, self.journal, self._claim, self._disowned)
        self.end = asyncio.Event()
        """Set when the daemon has to stop by itself; `ended` says why."""
        self.ended: SegueError | None = None
        self.way = Way(self, WayBack(self.journal), self.keeper.turn)
        self.conductor = Conductor(self.journal, RealStage(self))
        self.feed = FeedControl(self.config.deployment.name)
        self.feed.seed = self.config.seed
        self.cloning = Cloning(self, self.journal, self._cloned)
        self.desk.state = self.cloning.state  # known before any server was asked
        self.verification = Verification(self.config.deployment.name, self.drain_replication)
        self.workers: Workers | None = None
        self.moves: SessionMoves | None = None
        self.standby_port: StandbyPort | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._paused_until: asyncio.TimerHandle | None = None

    # -- what the switchover needs -------------------------------------------------------------------------

    @property
    def source(self) -> Server:
        run = self.conductor.run
        return self._servers[run.source if run else self.journal.active]

    @property
    def target(self) -> Server:
        label = self.source.label
        return next(server for other, server in self._servers.items() if other != label)

    @property
    def drain_timeout(self) -> float:
        return self.config.proxy.drain_timeout

    @property
    def max_pause(self) -> float:
        return self.config.proxy.max_pause

    @property
    def switching(self) -> bool:
        return self.conductor.run is not None

    @property
    def filled(self) -> bool:
        """The standby is not being filled, nor does it wait to be."""
        return self.desk.state not in EMPTY | ACTIVE

    @property
    def epoch(self) -> int:
        return self.journal.epoch

    @property
    def deployment(self) -> str:
        return self.config.deployment.name

    @property
    def way_back(self) -> WayBack:
        return self.way.facts

    async def guard(
        self, replication: dict[str, Any] | None, proxy: dict[str, Any] | None = None
    ) -> guardrails.Context:
        sessions = await self.workers.sessions() if self.workers is not None else None
        with contextlib.suppress(SegueError, TimeoutError):  # a guardrail says what the last look found
            await self.way.scan(SCAN_LIMIT)
        return guardrails.Context(
            self.config, self.source, self.target, replication, proxy,
            sessions=sessions, reports=self.journal.last_reports(FORECAST_FROM), way_back=self.way_back,
        )  # fmt: skip

    async def hook(self, point: str, run: Run) -> None:
        await hooks.call(self.config.hooks, point, self._hook_facts(run))

    def hook_beside(self, point: str, run: Run) -> None:
        self.spawn(hooks.told(self.config.hooks, point, self._hook_facts(run)))

    def _hook_facts(self, run: Run) -> dict[str, Any]:
        return {"deployment": self.deployment, "source": run.source, "target": run.target, "switchover": run.id,
                "state": run.state} | run.facts  # fmt: skip

    async def replication(self) -> dict[str, Any]:
        return await self.feed.status()

    async def drain_replication(self, position: str, timeout: float) -> dict[str, Any]:
        return await self.feed.drain(position, timeout)

    async def stop_replication(self) -> None:
        await self.feed.stop()

    async def start_replication(self, source: Server, target: Server, epoch: int) -> None:
        self.feed.direct(source, target, self.config.replicate, epoch)
        if self.way_back.open and self.desk.state != CLONING:
            await self.feed.start()
            self.spawn(self.verification.follow(self.config, source, target))

    async def prepare_proof(self) -> None:
        await self.verification.prepare(self.config.verify.at_switchover)

    async def prove(self, position: str, left: float, facts: dict[str, Any]) -> None:
        """Compare what is in doubt, both sides standing still. Raises Refused where the configuration requires more."""
        settings = self.config.verify
        budget = min(settings.pause_budget_ms / 1000, left)
        found = await self.verification.settle(settings.at_switchover, position, budget)
        facts["verification"] = found
        if found is not None and found["outcome"] != "equal" and settings.at_switchover == "require":
            raise Refused(refusal(found), mend="segue verify shows what differs; verify.at_switchover decides what it means")

    async def hold_clients(self, timeout: float) -> dict[str, Any]:
        if self.workers is None:
            return {"held": 0, "waiting": []}
        run = self.conductor.run
        return await self.workers.hold(timeout, close_pinned=self.close_pinned and run is not None)

    @property
    def close_pinned(self) -> bool:
        return self.config.proxy.pinned == "close"

    async def prepare_clients(self) -> dict[str, Any]:
        if self.moves is None:
            return {"prepared": 0, "failed": []}
        return await self.moves.prepare(self.source, self.target, self.config.proxy.users_file)

    async def adopt_clients(self, timeout: float) -> list[dict[str, Any]]:
        return [] if self.moves is None else await self.moves.adopt(timeout)

    async def release_clients(self, active: Server) -> dict[str, Any]:
        if self.workers is None:
            return {"dropped": 0, "relocated": 0}
        result = await self.workers.release(active)
        if self.moves is not None:
            self.spawn(self.moves.end())
        return result

    async def turn_standby(self, standby: Server) -> None:
        if self.standby_port is not None:
            await self.standby_port.turn(standby)

    # -- start and stop ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check, recover, open the port, start the children. Raises SegueError with nothing changed."""
        try:
            await preflight(self.config, self.journal, self.source, self.target)
        except SegueError:
            await self._withdraw()
            raise
        workers = self.workers = Workers(self.config.proxy, self._client_certificate(), self.source)
        self.moves = SessionMoves(workers, self.config.deployment.state_dir)
        await self.moves.restore((self.source, self.target))
        workers.answer_facts = self.moves.facts
        workers.common = common_capabilities(self.source.flavour, self.target.flavour)
        if (address := self.config.proxy.standby_listen) is not None:
            self.standby_port = StandbyPort(address, self.config.proxy, self._client_certificate(), self.target)
        self.feed.direct(self.source, self.target, self.config.replicate, self.epoch)
        # A recovery that waits for a server must not keep the rest of the daemon from answering.
        recovery = self.spawn(self._recover())
        await asyncio.wait({recovery}, timeout=self.max_pause)
        if recovery.done():
            recovery.result()
        await filling.look(self)
        await workers.start()
        follows = recovery.done() and self.way_back.open and self.desk.state not in EMPTY
        self.feed.launch(run=follows)
        if follows:
            self.spawn(self.verification.follow(self.config, self.source, self.target))
        if self.standby_port is not None:
            self.standby_port.start(self.target)
        self.journal.mark_seen()
        self.spawn(self.keeper.run())
        self.spawn(self.way.run())
        self.cloning.resume()

    async def _withdraw(self) -> None:
        """A first start that was refused leaves no claim: another one, with another state_dir, may be right."""
        if self.journal.seen:
            return
        for server in self._servers.values():
            with contextlib.suppress(SegueError):
                await self._claim.withdraw(await server.connection())

    async def stop(self) -> None:
        """Drain and stop: clients leave at safe points, the replicator finishes its batch."""
        for task in list(self._tasks):
            task.cancel()
        if self.workers is not None:
            await self.workers.stop(self.drain_timeout)
        if self.standby_port is not None:
            await self.standby_port.stop()
        try:
            await self.feed.stop()
        except (SegueError, TimeoutError) as error:
            log.warning("the replicator did not stop by itself", error=str(error))
        await self.feed.end()
        await self.verification.end()
        await self.keeper.close()
        for server in self._servers.values():
            await server.close()
        self.journal.close()

    def spawn(self, job: Any) -> asyncio.Task[Any]:
        """Run a coroutine beside, and see that it is not collected before it ends."""
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _client_certificate(self) -> tuple[Path, Path]:
        proxy = self.config.proxy
        if proxy.tls_cert and proxy.tls_key:
            return proxy.tls_cert, proxy.tls_key
        return ensure_certificate(self.config.deployment.state_dir)

    async def _recover(self) -> None:
        """Finish or undo what a killed daemon left, or see that both sides are what they should be."""
        try:
            report = await self.conductor.recover()
        except NotOwner as error:
            self._disowned(error)
            raise
        if report is None:
            await asyncio.gather(self.keeper.look(active=True), self.keeper.look(active=False))
            return
        self.feed.direct(self.source, self.target, self.config.replicate, self.epoch)
        await self._tell(report)

    async def _tell(self, report: dict[str, Any]) -> None:
        """The hooks of a switchover's end."""
        point = "after_switchover" if report["outcome"] == "done" else "on_abort"
        facts = {"deployment": self.deployment, "active": self.journal.active, "epoch": self.epoch} | report
        if (failed := await hooks.told(self.config.hooks, point, facts)) is not None:
            report.setdefault("hooks", []).append(failed)

    def _disowned(self, error: NotOwner) -> None:
        """Another daemon acts for this deployment: leave, before a client is served by the wrong side."""
        if self.ended is None:
            log.error("this daemon is not the owner any more, stopping", reason=error.message, mend=error.mend)
            self.ended = error
            self.end.set()

    # -- commands ------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Clients are held by an operator, not by a switchover."""
        return self.workers is not None and self.workers.holding and self.conductor.run is None

    async def status(self) -> dict[str, Any]:
        replication, proxy, verify = await asyncio.gather(
            self.replication(), self._proxy_status(), self.verification.status()
        )
        keys = ("state", "direction", "lag_seconds", "transactions", "rows", "source_position",
                "applied_position", "error", "mend")  # fmt: skip
        self.desk.told(replication)
        return {
            "deployment": self.deployment,
            "version": __version__,
            "phase": phase(str(self.conductor.phase), self.desk.state, replication),
            "active": self.journal.active,
            "epoch": self.epoch,
            "paused": self.paused,
            "replication": {k: replication.get(k) for k in keys} | {"details": replication},
            "seed": self.cloning.status() or replication.get("seed"),
            "proxy": proxy,
            "verify": verify,
            "last_switchover": self.conductor.last,
            "switchover": self.conductor.under_way(),
            "way_back": describe(self.way_back, self.epoch),
            "active_refuses_writes": self.keeper.refusing(self.journal.active),
            "unreachable": self.keeper.unreachable(),
            "short_of_room": self.keeper.short_of_room(),
        }

    async def _proxy_status(self) -> dict[str, Any]:
        if self.workers is None:
            return {"clients": 0, "in_transaction": 0, "held": 0, "dropped": 0, "relocated": 0, "accepted": 0,
                    "listen": self.config.proxy.listen, "workers": []}  # fmt: skip
        standby = None if self.standby_port is None else await self.standby_port.status()
        return await self.workers.status() | {"standby": standby}

    async def switchover(
        self, timeout: float, *, allow: Collection[str] = (), force: bool = False
    ) -> dict[str, Any]:
        """Swap the roles. Raises Refused with the reason when it was aborted; everything is as before then."""
        allowed = guardrails.allowed(allow)
        self._require_filled()
        if force:
            await self.conductor.give_up_source()
        if self.paused:
            raise Refused("clients are paused by an operator", mend="segue resume first")
        self.way_back.require()
        return await self._until_stuck(self.spawn(self._switch(timeout, allowed, force=force)))

    def _require_filled(self) -> None:
        if self.desk.state in EMPTY:
            raise Refused("the standby has not been seeded", mend="segue seed fills it")

    async def _switch(self, timeout: float, allowed: frozenset[str], *, force: bool) -> dict[str, Any]:
        async with self.keeper.turn:
            source, target = self.source, self.target
            try:
                report = await self.conductor.switchover(
                    source.label, target.label, timeout, allow=allowed, force=force
                )
            except NotOwner as error:
                self._disowned(error)
                raise
            self.feed.direct(self.source, self.target, self.config.replicate, self.epoch)
        if report["outcome"] == "done" and not force:
            report["left_on_the_old_side"] = await left_behind(source)
        self.spawn(self._tell(report))
        if report["outcome"] != "done":
            raise Refused("; ".join(report["errors"]), mend=" ".join(dict.fromkeys(report["mend"])))
        return report

    async def _until_stuck(self, job: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
        """The job's end; or a refusal that says what it waits for, while it goes on."""
        while not job.done():
            await asyncio.wait({job}, timeout=0.2)
            if (stuck := self.conductor.stuck(self.max_pause, self.keeper.short_of_room().values())) is not None:
                job.add_done_callback(lambda done: done.cancelled() or done.exception())  # somebody has to look at it
                raise stuck
        return job.result()

    async def seed(self, action: str, **options: bool) -> dict[str, Any]:
        """start, pause, resume or cancel the filling of the standby. Raises Refused when that cannot be now."""
        return await filling.command(self, action, **options)

    async def _cloned(self) -> None:
        await filling.look(self)
        await self.start_replication(self.source, self.target, self.epoch)

    async def check_all(self) -> dict[str, Any]:
        """The findings, and what becomes of each table."""
        context = await self.guard(await self.replication(), await self._proxy_status())
        found = await guardrails.run(context)
        return {"findings": [f.message() for f in found], "tables": await guardrails.tables_report(context)}

    async def verify(self, tables: list[str], *, repair: bool) -> dict[str, Any]:
        """Compare both sides now; the document. Raises Refused in a switchover."""
        if self.conductor.run is not None:
            raise Refused(f"a switchover is under way ({self.conductor.phase})", mend="Verify when it has ended")
        return await self.verification.run(self.config, self.source, self.target, tables, repair=repair)

    async def check(self) -> list[guardrails.Finding]:
        return await guardrails.run(await self.guard(await self.replication(), await self._proxy_status()))

    async def dry_run(self, *, allow: Collection[str] = (), force: bool = False) -> dict[str, Any]:
        """Everything up to the pause, changing nothing: findings, and how long the pause will probably be.

        Raises Refused with what would stop the switchover.
        """
        allowed = guardrails.allowed(allow)
        self._require_filled()
        if force:
            await require_dead(self.source.side)
            _, conn = await self.target.get()
            row = await progress.read(conn, self.deployment)
            return {"outcome": "possible", "findings": [], "forced": statement(await self.replication(), row, self.source.label)}
        findings = await self.check()
        blocking = [f for f in findings if f.severity == "blocks" and f.id not in allowed]
        if blocking:
            raise Refused("; ".join(f.sentence for f in blocking), mend=" ".join(f.mend for f in blocking))
        context = await self.guard(await self.replication(), await self._proxy_status())
        seen = forecast(context.reports, context.replication, len(context.sessions or ()))
        return {"outcome": "possible", "findings": [f.message() for f in findings], "forecast": seen.message()}

    def abort(self) -> bool:
        """Stop a switchover that has not committed; False when there is none."""
        return self.conductor.abort()

    async def rollback(self, timeout: float, *, allow: Collection[str] = ()) -> dict[str, Any]:
        """Abort a switchover that has not committed, else switch back to where the last one came from."""
        if self.abort():
            return await self.conductor.wait_end() or {}
        if self.epoch == 1:
            raise Refused("there was no switchover to go back from", mend="segue switchover makes the first one")
        return await self.switchover(timeout, allow=allow)

    async def finalize(self) -> dict[str, Any]:
        """End the way back."""
        return await self.way.finalize()

    async def pause(self, limit: float | None) -> dict[str, Any]:
        """Hold all clients at safe points; released by `resume`, or by itself after `limit` seconds."""
        if self.conductor.run is not None:
            raise Refused(f"a switchover is under way ({self.conductor.phase})", mend="Wait until it ends")
        result = await self.hold_clients(self.drain_timeout)
        if result["waiting"]:
            await self.release_clients(self.source)
            names = ", ".join(str(s["client"]) for s in result["waiting"][:5])
            raise Refused(f"{len(result['waiting'])} sessions did not reach a safe point: {names}",
                          mend="Let them finish or raise proxy.drain_timeout")  # fmt: skip
        seconds = limit or self.max_pause
        loop = asyncio.get_running_loop()
        self._paused_until = loop.call_later(seconds, lambda: self.spawn(self._resume_late(seconds)))
        return {"held": result["held"], "released_after_seconds": seconds}

    async def _resume_late(self, seconds: float) -> None:
        log.warning("paused for as long as allowed, releasing the clients", seconds=seconds)
        await self.resume()

    async def resume(self) -> dict[str, Any]:
        if self.conductor.run is not None and self.conductor.run.state in BEFORE_COMMIT | {State.OPENING}:
            raise Refused("a switchover holds the clients", mend="It releases them; SIGUSR2 aborts it")
        if self._paused_until is not None:
            self._paused_until.cancel()
            self._paused_until = None
        return await self.release_clients(self.source)

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again. What cannot change in a running daemon is refused by name."""
        if self.conductor.run is not None:
            raise Refused("a switchover is under way", mend="Reload when it has ended")
        new = load(self.path)
        changed = changes(self.config, new)
        self.config = new
        self.feed.seed = new.seed
        if {"blue", "green"} & set(changed):
            for server in self._servers.values():
                await server.close()
            self._servers = self._make_servers(Roles.of(new, self.journal.active))
            if self.workers is not None:
                await self.workers.redirect(self.source)
        if "proxy" in changed and self.workers is not None:
            await self.workers.reconfigure(new.proxy)
            if self.standby_port is not None:
                await self.standby_port.reconfigure(new.proxy)
        if set(changed) & {"blue", "green", "replicate", "seed"}:
            await self.stop_replication()
            await self.start_replication(self.source, self.target, self.epoch)
        elif "verify" in changed:
            await self.verification.follow(self.config, self.source, self.target)
        return {"changed": changed}

    def _make_servers(self, roles: Roles) -> dict[str, Server]:
        return {side.label: Server(side, self._claim) for side in (roles.active, roles.standby)}
