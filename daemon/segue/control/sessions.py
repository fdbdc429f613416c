"""Moving clients' sessions, seen from control: what the workers are given, and what they ask."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from segue.control.logins import SecondPasswords, read_users
from segue.control.workers import Workers
from segue.errors import SegueError
from segue.flavour import Flavour, carried_default
from segue.log import get_logger
from segue.sql import Connection, connect
from segue.switchover.server import Server

log = get_logger("control")
OPEN_LIMIT = 120.0
"""Seconds for the sessions on the target to be opened and loaded."""


class SessionMoves:
    """One daemon's. `facts` is what workers ask while sessions are moved."""

    def __init__(self, workers: Workers, state_dir: Path) -> None:
        self._workers = workers
        self._seconds = SecondPasswords(state_dir)
        self._target: Server | None = None
        self._source: Server | None = None
        self._asking: Connection | None = None
        self._lock = asyncio.Lock()

    async def prepare(self, source: Server, target: Server, users_file: Path | None) -> dict[str, Any]:
        """A session on the target for every client: `prepared`, and `failed` with each one's reason."""
        self._source, self._target = source, target
        await self._seconds.restore((source, target))
        await self._connection(source)
        users = sorted({u for a in await self._workers.ask("users", 5.0) for u in a.get("users", ())})
        flavour, conn = await source.get()
        order = {
            "target": target.backend(),
            "differing": await differing(source, target),
            "stage2": await flavour.double_hashes(conn, users),
            "users": read_users(users_file) if users_file is not None else {},
            "seconds": 10.0,
        }
        result = _summed(await self._workers.ask("prepare", OPEN_LIMIT, **order))
        # Users of short connections count as well: one that comes after this look has to be moved in the pause.
        strangers = {str(s["user"]) for s in result["failed"] if s["login_unknown"]} | result["strangers"]
        if strangers:
            given = await self._seconds.give(target, strangers)
            if given:
                log.info("second passwords for the time of the move", users=sorted(given), side=target.label)
                result = _summed(await self._workers.ask("prepare_more", OPEN_LIMIT, second=given))
        return result

    async def adopt(self, timeout: float) -> list[dict[str, Any]]:
        """Until all held sessions are ready to be given to the target: those that are not, each with its reason."""
        answers = await self._workers.ask("adopt", timeout + 1.0, timeout=timeout)
        return [s for a in answers for s in a.get("unmovable", ())]

    async def facts(self, ids: list[int]) -> dict[str, Any]:
        """For a worker: what the source's own tables say of these connections."""
        if self._source is None:
            raise SegueError("no move is being prepared")
        flavour, conn = await self._connection(self._source)
        found = await flavour.facts(conn, ids)
        wanted = set(ids)
        return {str(i): facts for i, facts in found.items() if i in wanted}

    async def end(self) -> None:
        """The move is over, one way or the other."""
        if self._source is not None and self._target is not None:
            await self.restore((self._source, self._target))
        if self._asking is not None:
            await self._asking.close()
            self._asking = None

    async def restore(self, servers: tuple[Server, ...]) -> None:
        """No second password is left; one that cannot be removed now is removed later, and logged."""
        try:
            await self._seconds.restore(servers)
        except SegueError as error:
            log.error("a second password could not be removed yet", error=error.message)  # noqa: TRY400 - expected

    async def _connection(self, source: Server) -> tuple[Flavour, Connection]:
        """A connection of our own: the fence must not wait behind questions, nor they behind it."""
        async with self._lock:
            flavour, _ = await source.get()
            if self._asking is None or self._asking.closed:
                self._asking = await connect(source.side.endpoint, where=source.side.where, program="segue-sessions")
            return flavour, self._asking


def _summed(answers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "prepared": sum(int(a.get("prepared", 0)) for a in answers),
        "failed": [s for a in answers for s in a.get("failed", ())],
        "strangers": {str(u) for a in answers for u in a.get("strangers", ())},
    }


async def differing(source: Server, target: Server) -> dict[str, str]:
    """Session variables whose defaults differ, with the source's: a session that never set them must not see a change."""
    values, flavours = [], []
    names: set[str] = set()
    for server in (source, target):
        flavour, conn = await server.get()
        rows = await conn.query("SHOW GLOBAL VARIABLES")
        values.append({str(r["Variable_name"]).lower(): str(r["Value"]) for r in rows})
        flavours.append(flavour)
        own = set(await flavour.session_variables(conn))
        names = names & own if names else own
    here, there = values
    found = {n: here[n] for n in sorted(names) if n in here and n in there and here[n] != there[n] and n not in _OF_SERVER}
    carried = {n: carried_default(n, value, flavours[0], flavours[1]) for n, value in found.items()}
    return {n: value for n, value in carried.items() if value is not None}


_OF_SERVER = frozenset({"timestamp", "server_id", "port", "hostname", "gtid_domain_id", "sql_log_bin", "gtid_next"})

