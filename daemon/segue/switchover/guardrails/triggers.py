"""Rows applied as events fire no trigger on the standby, which is right; they are listed to be known."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem
from segue.switchover.guardrails.definitions import definitions


async def _check(context: Context) -> list[Problem]:
    named = [f"{t.schema}.{one.name}" for t in (await definitions(context)).target.values() for one in t.triggers]
    if not named:
        return []
    return [Problem(f"triggers on the standby do not fire for replicated rows: {', '.join(named[:5])}")]


GUARDRAIL = Guardrail("triggers", "warns", "Triggers on the standby are known: they do not fire for replicated rows.", _check)
