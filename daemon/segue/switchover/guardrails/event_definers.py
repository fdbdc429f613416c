"""Events stop with the old active side and do not start by themselves on the new one."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    _, conn = await context.source.get()
    rows = await conn.query("SELECT EVENT_SCHEMA AS s, EVENT_NAME AS n, DEFINER AS d FROM information_schema.EVENTS"
                            " WHERE STATUS = 'ENABLED' AND EVENT_SCHEMA NOT IN ('mysql', 'sys')")  # fmt: skip
    if not rows:
        return []
    named = ", ".join(f"{r['s']}.{r['n']} of {r['d']}" for r in rows[:5])
    return [Problem(f"{len(rows)} events run on the active side and stop with the switchover: {named}",
                    "Afterwards SET GLOBAL event_scheduler = ON on the new active side, where they must exist")]  # fmt: skip


GUARDRAIL = Guardrail("event_definers", "warns", "Events on the active side are known: they do not move by themselves.", _check)
