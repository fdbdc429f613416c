"""Control: the process behind `segue run`. Owns the configuration, the journal, the children and the switchover.

It lends itself to the switchover as its `World` and answers the admin socket. Rows and client bytes never pass
through here, so that it answers whatever the others are busy with.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

from segue import __version__
from segue.binlog.events import BinlogError
from segue.binlog.positions import parse
from segue.config import load
from segue.errors import ConfigError, PeerGone, Refused, SegueError
from segue.ipc import Channel
from segue.log import get_logger
from segue.proxy.certificate import ensure_certificate
from segue.replicate import progress
from segue.roles import Roles
from segue.supervisor import Child
from segue.switchover import guardrails
from segue.switchover.conductor import Conductor
from segue.switchover.journal import Journal
from segue.switchover.machine import BEFORE_COMMIT, State
from segue.switchover.server import Server
from segue.switchover.stage import RealStage

log = get_logger("control")
STATUS_LIMIT = 2.0
WATCH_SECONDS = 2.0
_AT_START = {"different_servers", "same_flavour", "binlog_settings", "privileges"}


class Control:
    """One deployment, from start to stop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = load(path)
        self.journal = Journal(self.config.deployment.state_dir, self.config.deployment.name)
        self._servers = self._make_servers(Roles.of(self.config, self.journal.active))
        self.conductor = Conductor(self.journal, RealStage(self))
        self._replicator = Child("replicator", "segue.replicate", self._start_replicator, self._notice)
        self._workers: list[Child] = []
        self._listeners: list[socket.socket] = []
        self._holding = False
        self._serving = self.journal.active
        """Where clients are sent: a worker that starts anew inside a switchover must go where the others went."""
        self._replication_wanted = False
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
    def epoch(self) -> int:
        return self.journal.epoch

    @property
    def deployment(self) -> str:
        return self.config.deployment.name

    def guard(self, replication: dict[str, Any] | None) -> guardrails.Context:
        return guardrails.Context(self.config, self.source, self.target, replication)

    async def replication(self) -> dict[str, Any]:
        try:
            return await self._replicator.request("status", limit=STATUS_LIMIT)
        except (PeerGone, TimeoutError) as error:
            return {"state": "starting", "error": str(error) or "no answer from the replicator"}

    async def drain_replication(self, position: str, timeout: float) -> dict[str, Any]:
        """Until the target has applied exactly up to `position`; a replicator that dies meanwhile is waited for."""
        async with asyncio.timeout(timeout):
            while True:
                try:
                    return await self._replicator.request("drain", position=position, timeout=timeout)
                except PeerGone:
                    await self._replicator.ready.wait()

    async def stop_replication(self) -> None:
        self._replication_wanted = False
        with contextlib.suppress(PeerGone):
            await self._replicator.request("stop", limit=5.0)

    async def start_replication(self, source: Server, target: Server, epoch: int) -> None:
        self._replication_wanted = True
        self._direction = (source, target, epoch)
        if self._replicator.ready.is_set():
            await self._replicator.request("start", limit=10.0, **self._replicator_start())

    async def hold_clients(self, timeout: float) -> dict[str, Any]:
        self._holding = True
        answers = await self._ask_workers("hold", timeout + 2.0, timeout=timeout)
        return {
            "held": sum(int(a["held"]) for a in answers),
            "waiting": [s for a in answers for s in a["waiting"]],
        }

    async def release_clients(self, active: Server) -> dict[str, Any]:
        self._holding, self._serving = False, active.label
        answers = await self._ask_workers("release", 10.0, active=self._backend(active), ramp_ms=0)
        return {key: sum(int(a.get(key, 0)) for a in answers) for key in ("dropped", "relocated")}

    async def _ask_workers(self, op: str, limit: float, /, **args: Any) -> list[dict[str, Any]]:
        """Ask all workers at once. One that died has no clients to hold; it starts in the present state."""

        async def one(worker: Child) -> dict[str, Any] | None:
            try:
                return await worker.request(op, limit=limit, **args)
            except PeerGone:
                return None

        answers = await asyncio.gather(*(one(w) for w in self._workers))
        empty = {"held": 0, "waiting": []}
        return [a if a is not None else dict(empty) for a in answers]

    # -- children ------------------------------------------------------------------------------------------

    def _backend(self, server: Server) -> dict[str, Any]:
        return {"name": server.label, **server.side.endpoint.message()}

    def _replicator_start(self) -> dict[str, Any]:
        source, target, epoch = self._direction
        return {
            "deployment": self.deployment,
            "source": self._backend(source),
            "target": self._backend(target),
            "replicate": self.config.replicate.model_dump(mode="json"),
            "epoch": epoch,
        }

    async def _start_replicator(self, channel: Channel) -> None:
        if self._replication_wanted:
            await channel.request("start", limit=10.0, **self._replicator_start())

    async def _start_worker(self, channel: Channel, number: int) -> None:
        cert, key = self._certificate
        await channel.request(
            "start", limit=10.0, listen_fd=self._listeners[number].fileno(), worker=number,
            active=self._backend(self._servers[self._serving]), tls_cert=str(cert), tls_key=str(key),
            max_pause=self.max_pause, held=self._holding,
        )  # fmt: skip

    def _notice(self, op: str, args: dict[str, Any]) -> None:
        if op == "state":
            log.info("replication", **{k: v for k, v in args.items() if k in ("state", "direction", "error", "mend")})

    # -- start and stop ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check, recover, open the port, start the children. Raises SegueError with nothing changed."""
        await self._preflight()
        self._listeners = _listen(self.config.proxy.listen, self.config.proxy.workers)
        self._certificate = self._client_certificate()
        self._direction = (self.source, self.target, self.epoch)
        self._workers = [
            Child(
                f"proxy-{n}", "segue.proxy",
                lambda channel, number=n: self._start_worker(channel, number),  # type: ignore[misc]
                pass_fds=(self._listeners[n].fileno(),),
            )
            for n in range(self.config.proxy.workers)
        ]  # fmt: skip
        recovered = await self.conductor.recover()
        if recovered is None:
            await self._assert_roles(first=True)
        self._replication_wanted = True
        self._direction = (self.source, self.target, self.epoch)
        for child in (self._replicator, *self._workers):
            child.start()
        async with asyncio.timeout(20.0):
            for worker in self._workers:
                await worker.ready.wait()
        self.journal.mark_seen()
        self.spawn(self._watch())
        if self.config.admin.http is not None:
            log.warning("admin.http is not served by this version; use the admin socket", http=self.config.admin.http)

    async def stop(self) -> None:
        """Drain and stop: clients leave at safe points, the replicator finishes its batch."""
        for task in list(self._tasks):
            task.cancel()
        with contextlib.suppress(SegueError, TimeoutError):
            await self._ask_workers("stop", self.drain_timeout + 2.0, timeout=self.drain_timeout)
        with contextlib.suppress(SegueError, TimeoutError):
            await self.stop_replication()
        for child in (*self._workers, self._replicator):
            await child.stop()
        for server in self._servers.values():
            await server.close()
        for listener in self._listeners:
            listener.close()
        self.journal.close()

    def spawn(self, job: Any) -> asyncio.Task[Any]:
        """Run a coroutine beside, and see that it is not collected before it ends."""
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _preflight(self) -> None:
        """The first start wants both sides as they must be; later ones serve clients without the standby."""
        try:
            await self.target.connection()
        except SegueError as error:
            if not self.journal.seen:
                raise
            log.warning("the standby cannot be reached; clients are served all the same", error=str(error))
            return
        chosen = tuple(g for g in guardrails.ALL if g.id in _AT_START)
        found = [f for f in await guardrails.run(self.guard(None), only=chosen) if f.severity == "blocks"]
        if found:
            raise Refused("; ".join(f.sentence for f in found), mend=" ".join(f.mend for f in found if f.mend))
        if not self.journal.seen:
            await self._first_progress()

    async def _first_progress(self) -> None:
        """Both sides count as equal at `replicate.start`: write that down on the standby before anything else."""
        for server in (self.source, self.target):
            _, conn = await server.get()
            await progress.ensure(conn)
        flavour, _ = await self.source.get()
        _, target = await self.target.get()
        assert self.source.identity is not None
        source_id = self.source.identity.source_id
        found = await progress.read(target, self.deployment)
        if found is not None:
            if (found.source_id, found.epoch) != (source_id, self.epoch):
                raise Refused(
                    f"{self.target.side.where} has progress of deployment '{self.deployment}' from another source"
                    f" ({found.source_id}, epoch {found.epoch}), and {self.config.deployment.state_dir} knows nothing of it",
                    mend="Restore the state_dir; or, if both sides are equal, delete the row from segue.progress",
                )
            log.info("going on from the progress found on the standby", position=found.position)
            return
        start = self.config.replicate.start
        try:
            position = await self.source.position() if start == "current" else parse(
                start, mariadb=flavour.dump_is_mariadb).text()  # fmt: skip
        except BinlogError as error:
            raise ConfigError(f"{self.path}: replicate.start: {error}",
                              mend='Give "current", a GTID set, or "file:pos"') from None  # fmt: skip
        await progress.initialise(target, self.deployment, source_id, position, self.epoch)
        log.info("both sides count as equal from here on", position=position, source=self.source.label)

    def _client_certificate(self) -> tuple[Path, Path]:
        proxy = self.config.proxy
        if proxy.tls_cert and proxy.tls_key:
            return proxy.tls_cert, proxy.tls_key
        return ensure_certificate(self.config.deployment.state_dir)

    async def _assert_roles(self, *, first: bool = False) -> None:
        """The standby accepts no writes but ours: set it, and set it again after it was restarted."""
        if self.conductor.run is not None:
            return
        standby = self.target
        try:
            writable = not await standby.held_by()
            # The answer may have been long under way: only if nothing has been exchanged meanwhile.
            if writable and self.conductor.run is None and standby is self.target:
                log.warning("the standby accepted writes, making it read-only", side=standby.label)
                await standby.unfence(writable=False)
            held = await self.source.held_by() if first else []
            if held:
                log.error("the active side refuses writes", side=self.source.label, variables=held)
        except SegueError as error:
            if first and not self.journal.seen:
                raise
            log.debug("a server cannot be asked now", error=str(error))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._assert_roles()

    # -- commands ------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        replication, proxy = await asyncio.gather(self.replication(), self._proxy_status())
        keys = ("state", "direction", "lag_seconds", "transactions", "rows", "source_position",
                "applied_position", "error", "mend")  # fmt: skip
        return {
            "deployment": self.deployment,
            "version": __version__,
            "phase": str(self.conductor.phase),
            "active": self.journal.active,
            "epoch": self.epoch,
            "paused": self._holding and self.conductor.run is None,
            "replication": {k: replication.get(k) for k in keys} | {"details": replication},
            "proxy": proxy,
            "last_switchover": self.conductor.last,
        }

    async def _proxy_status(self) -> dict[str, Any]:
        total = dict.fromkeys(("clients", "in_transaction", "held", "dropped", "relocated", "accepted"), 0)
        workers = []
        for answer in await self._ask_workers("status", STATUS_LIMIT):
            workers.append(answer)
            for key in total:
                total[key] += int(answer.get(key, 0))
        return total | {"listen": self.config.proxy.listen, "workers": workers}

    async def switchover(self, timeout: float) -> dict[str, Any]:
        """Swap the roles. Raises Refused with the reason when it was aborted; everything is as before then."""
        if self._holding:
            raise Refused("clients are paused by an operator", mend="segue resume first")
        report = await self.conductor.switchover(self.source.label, self.target.label, timeout)
        self._direction = (self.source, self.target, self.epoch)
        if report["outcome"] != "done":
            raise Refused("; ".join(report["errors"]), mend=" ".join(dict.fromkeys(report["mend"])))
        return report

    async def check(self) -> list[guardrails.Finding]:
        return await guardrails.run(self.guard(await self.replication()))

    def abort(self) -> bool:
        """Stop a switchover that has not committed; False when there is none."""
        return self.conductor.abort()

    async def rollback(self, timeout: float) -> dict[str, Any]:
        """Abort a switchover that has not committed, else switch back to where the last one came from."""
        if self.abort():
            return await self.conductor.wait_end() or {}
        if self.epoch == 1:
            raise Refused("there was no switchover to go back from", mend="segue switchover makes the first one")
        return await self.switchover(timeout)

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
        old = self.config
        fixed = [k for k in ("deployment", "admin") if getattr(new, k) != getattr(old, k)]
        fixed += [f"proxy.{k}" for k in ("listen", "workers") if getattr(new.proxy, k) != getattr(old.proxy, k)]
        for side in ("blue", "green"):
            one, two = getattr(old, side), getattr(new, side)
            fixed += [f"{side}.{k}" for k in ("host", "port") if getattr(one, k) != getattr(two, k)]
        if fixed:
            raise ConfigError(f"cannot change while running: {', '.join(fixed)}", mend="Restart segue run")
        changed = [k for k in ("blue", "green", "replicate", "proxy") if getattr(new, k) != getattr(old, k)]
        self.config = new
        if {"blue", "green"} & set(changed):
            for server in self._servers.values():
                await server.close()
            self._servers = self._make_servers(Roles.of(new, self.journal.active))
            await self._ask_workers("backend", 10.0, active=self._backend(self.source))
        if set(changed) - {"proxy"}:
            await self.stop_replication()
            await self.start_replication(self.source, self.target, self.epoch)
        return {"changed": changed}

    @staticmethod
    def _make_servers(roles: Roles) -> dict[str, Server]:
        return {side.label: Server(side) for side in (roles.active, roles.standby)}


def _listen(address: str, workers: int) -> list[socket.socket]:
    """One listening socket per worker on the shared port, held here so that a worker's death closes no port.

    Raises ConfigError when the port is taken. With SO_REUSEPORT a second daemon could share it unnoticed, so
    the port is first taken without.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners: list[socket.socket] = []
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, int(port)))
        probe.listen(1)
        probe.close()
        for _ in range(workers):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((host, int(port)))
            listener.listen(4096)
            listener.setblocking(False)
            listeners.append(listener)
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise ConfigError(
            f"cannot listen on proxy.listen = {address}: {error.strerror}",
            mend="Stop what uses that port, or give another one",
        ) from None
    return listeners
