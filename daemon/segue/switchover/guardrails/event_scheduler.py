"""Events that run on both sides do their work twice."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    flavour, conn = await context.target.get()
    on = (await flavour.variables(conn, "event_scheduler")).get("event_scheduler", "OFF")
    if on.upper() != "ON":
        return []
    count = await conn.value("SELECT COUNT(*) AS n FROM information_schema.EVENTS WHERE STATUS = 'ENABLED'")
    if not count:
        return []
    return [Problem(f"{count} enabled events would run on the standby too", "", context.target,
                    "SET GLOBAL event_scheduler = OFF;")]  # fmt: skip


GUARDRAIL = Guardrail("event_scheduler", "blocks", "No event runs on the standby.", _check)
