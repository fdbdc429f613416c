"""Every account that has sessions on the source must exist on the target."""

from __future__ import annotations

from segue.errors import ServerError
from segue.switchover.guardrails.base import Context, Guardrail, Problem

_SYSTEM = {"event_scheduler", "system user", "unauthenticated user", "root", ""}


async def _check(context: Context) -> list[Problem]:
    flavour, conn = await context.source.get()
    own = {server.side.endpoint.user for server in context.both}
    users = {s.user for s in await flavour.sessions(conn)} - own - _SYSTEM
    if not users:
        return []
    _, there = await context.target.get()
    try:
        rows = await there.query("SELECT DISTINCT GRANTEE AS g FROM information_schema.USER_PRIVILEGES")
    except ServerError:
        return []
    known = {str(r["g"]).split("@", maxsplit=1)[0].strip("'") for r in rows}
    if known <= {context.target.side.endpoint.user}:
        return []  # without SELECT on the grant tables a server shows us only ourselves
    return [
        Problem(f"user '{u}' has sessions on the active side and does not exist on the standby",
                f"Create '{u}' on {context.target.side.where} with the same password and grants")
        for u in sorted(users - known)
    ]  # fmt: skip


GUARDRAIL = Guardrail("accounts", "blocks", "Every user with sessions on the active side exists on the standby.", _check)
