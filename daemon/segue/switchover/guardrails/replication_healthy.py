"""A standby that does not follow cannot become active."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    status = context.replication
    if status is None or status.get("state") in ("streaming", "catching_up", "idle"):
        return []
    reason = status.get("error") or "it has not come up yet"
    return [Problem(f"replication is {status.get('state')}: {reason}", str(status.get("mend") or "See segue status"))]


GUARDRAIL = Guardrail(
    "replication_healthy", "blocks", "Replication to the standby runs.", _check,
    unsafe="the standby would never reach the last position; for a dead source there is segue switchover --force",
)  # fmt: skip
