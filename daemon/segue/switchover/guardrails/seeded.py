"""A standby that is empty, or half filled, cannot become the active side."""

from __future__ import annotations

from segue.copy import record
from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    _, conn = await context.target.get()
    found = await record.read(conn, context.config.deployment.name)
    if found is None or found.state == "done":
        return []
    if found.state in record.ACTIVE:
        return [Problem("the standby is still being seeded", "Wait until segue seed is done")]
    return [Problem("the standby has not been seeded", "segue seed fills it from the active side")]


GUARDRAIL = Guardrail(
    "seeded", "blocks", "The standby has been filled completely.", _check,
    unsafe="what was not copied would be lost",
)  # fmt: skip
