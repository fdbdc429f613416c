"""What must be true before a switchover, each as one small function.

Enters: a `Context` with both servers and the configuration. Leaves: findings, each with an id, a severity,
one sentence and the mend (a statement where there is one). A guardrail changes nothing and knows nothing of
the switchover's states. A new one is a function in one of the modules, listed in its `ALL`.
"""

from __future__ import annotations

from segue.errors import SegueError
from segue.switchover.guardrails import servers, tables, traffic
from segue.switchover.guardrails.base import Context, Finding, Guardrail, Severity

__all__ = ["ALL", "Context", "Finding", "Guardrail", "Severity", "run"]

ALL: tuple[Guardrail, ...] = servers.ALL + tables.ALL + traffic.ALL


async def run(context: Context, *, only: tuple[Guardrail, ...] = ALL) -> list[Finding]:
    """Run guardrails one after another; one that cannot be answered is a finding that blocks."""
    findings: list[Finding] = []
    for guardrail in only:
        try:
            findings += await guardrail.check(context)
        except SegueError as error:
            findings.append(Finding(guardrail.id, "blocks", f"could not be checked: {error.message}", error.mend))
    return findings
