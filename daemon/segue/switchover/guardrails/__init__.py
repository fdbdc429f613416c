"""What must be true before a switchover, one guardrail per module.

Enters: a `Context` with both servers and the configuration. Leaves: findings, each with an id, a severity,
one sentence and the mend (a statement where there is one). A guardrail changes nothing and knows nothing of
the switchover's states. A new one is a module here with a `GUARDRAIL`, named by its id; or, from another package,
an entry point of the group `segue.guardrails` that names such a `Guardrail`.

- `base`  the shape
- `definitions`  both sides' tables and their comparison, read once
- `settings`  checks of server variables, shared
- `registry`  finds them all, runs them, and knows which may be passed over
- all others: one guardrail each
"""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Finding, Guardrail, Problem, Severity
from segue.switchover.guardrails.definitions import tables_report
from segue.switchover.guardrails.registry import allowed, every, run

__all__ = ["Context", "Finding", "Guardrail", "Problem", "Severity", "allowed", "every", "run", "tables_report"]
