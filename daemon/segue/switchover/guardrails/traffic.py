"""Guardrails about what is going on now: replication, prepared XA, events."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Finding, Guardrail

MAX_LAG_AT_START = 5.0
"""Seconds. With more the pause would be spent on catching up; the switchover waits for it first."""


async def replication_healthy(context: Context) -> list[Finding]:
    status = context.replication
    if status is None:
        return []
    if status.get("state") in ("streaming", "catching_up", "idle"):
        return []
    reason = status.get("error") or "it has not come up yet"
    return [
        Finding("replication_healthy", "blocks", f"replication is {status.get('state')}: {reason}",
                str(status.get("mend") or "See segue status"))
    ]  # fmt: skip


async def prepared_xa(context: Context) -> list[Finding]:
    """A prepared XA transaction survives the fence and its session; its outcome would reach one side only."""
    _, conn = await context.source.get()
    rows = await conn.query("XA RECOVER")
    if not rows:
        return []
    return [
        Finding("prepared_xa", "blocks", f"{len(rows)} prepared XA transactions on {context.source.side.where}",
                "XA COMMIT or XA ROLLBACK each, see XA RECOVER")
    ]  # fmt: skip


async def event_scheduler(context: Context) -> list[Finding]:
    """Events that run on both sides do their work twice."""
    flavour, conn = await context.target.get()
    on = (await flavour.variables(conn, "event_scheduler")).get("event_scheduler", "OFF")
    if on.upper() != "ON":
        return []
    count = await conn.value("SELECT COUNT(*) AS n FROM information_schema.EVENTS WHERE STATUS = 'ENABLED'")
    if not count:
        return []
    return [
        Finding("event_scheduler", "blocks", f"{count} enabled events would run on the standby too",
                f"On {context.target.side.where}: SET GLOBAL event_scheduler = OFF;")
    ]  # fmt: skip


ALL = (
    Guardrail("replication_healthy", replication_healthy),
    Guardrail("prepared_xa", prepared_xa),
    Guardrail("event_scheduler", event_scheduler),
)
