"""A prepared XA transaction survives the fence and its session; its outcome would reach one side only."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    _, conn = await context.source.get()
    rows = await conn.query("XA RECOVER")
    if not rows:
        return []
    return [Problem(f"{len(rows)} prepared XA transactions on {context.source.side.where}",
                    "XA COMMIT or XA ROLLBACK each, see XA RECOVER")]  # fmt: skip


GUARDRAIL = Guardrail(
    "prepared_xa", "blocks", "No XA transaction is prepared on the active side.", _check,
    unsafe="its rows would be on one side only",
)  # fmt: skip
