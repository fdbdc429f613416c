"""Sessions that reach a server past the proxy."""

from __future__ import annotations

from typing import Any

from segue.errors import SegueError
from segue.flavour import Session
from segue.switchover.server import Server

SYSTEM_USERS = frozenset({"event_scheduler", "system user", "unauthenticated user", ""})
_SHOWN = 20


async def past_the_proxy(server: Server, proxied: list[dict[str, Any]]) -> list[Session]:
    """Client sessions on this server that are neither ours nor the proxy's, by the connection ids that it knows."""
    ids = {int(s.get("server_connection_id") or s["connection_id"]) for s in proxied}
    flavour, conn = await server.get()
    own = server.side.endpoint.user
    return [
        s for s in await flavour.sessions(conn)
        if s.id not in ids and s.user != own and s.user not in SYSTEM_USERS and not s.command.startswith("Binlog Dump")
    ]  # fmt: skip


async def left_behind(server: Server) -> list[str]:
    """Who is still connected to the old side after a switchover, in words; nothing when it cannot be asked."""
    try:
        return [describe(s) for s in (await past_the_proxy(server, []))[:_SHOWN]]
    except SegueError:
        return []


def describe(session: Session) -> str:
    return f"{session.user}@{session.host} connection {session.id} on {session.database or 'no schema'}"
