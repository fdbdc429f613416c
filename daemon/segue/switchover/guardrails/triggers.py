"""Rows applied as events fire no trigger on the standby, which is right; they are listed to be known."""

from __future__ import annotations

from segue.schema import Selection
from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    selection = Selection(context.config.replicate.schemas, context.config.replicate.exclude)
    _, conn = await context.target.get()
    rows = await conn.query(
        "SELECT TRIGGER_SCHEMA AS s, TRIGGER_NAME AS n, EVENT_OBJECT_TABLE AS t FROM information_schema.TRIGGERS"
    )
    named = [f"{r['s']}.{r['n']}" for r in rows if selection.wants(str(r["s"]), str(r["t"]))]
    if not named:
        return []
    return [Problem(f"triggers on the standby do not fire for replicated rows: {', '.join(named[:5])}")]


GUARDRAIL = Guardrail("triggers", "warns", "Triggers on the standby are known: they do not fire for replicated rows.", _check)
