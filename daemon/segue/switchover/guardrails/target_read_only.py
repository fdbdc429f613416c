"""A standby that anybody may write to is no copy."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem, Severity


async def _check(context: Context) -> list[Problem]:
    if await context.target.held_by():
        return []
    severity: Severity = "warns" if context.replication is None else "blocks"
    return [Problem(f"the standby {context.target.side.where} accepts writes", "segue run sets it by itself",
                    context.target, "SET GLOBAL read_only = ON;", severity)]  # fmt: skip


GUARDRAIL = Guardrail(
    "target_read_only", "blocks", "The standby refuses writes from everybody but Segue.", _check,
    unsafe="both sides would accept writes",
)  # fmt: skip
