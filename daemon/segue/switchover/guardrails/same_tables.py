"""Every replicated table can be carried to the other side, and back."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem
from segue.switchover.guardrails.definitions import definitions

_SHOWN = 10
_MEND = "Make it the same on both sides, map it in [[replicate.table]], or put it into replicate.exclude"


async def _check(context: Context) -> list[Problem]:
    found = await definitions(context)
    blocking = [Problem(f.sentence, f.mend or _MEND) for c in found.there for f in c.blocked]
    images = {found.mapping.table(*key).target for key in found.source}
    blocking += [Problem(f"table {t.full_name} exists only on the standby", _MEND)
                 for key, t in found.target.items() if key not in images]  # fmt: skip
    problems = blocking[:_SHOWN]
    if len(blocking) > _SHOWN:
        problems.append(Problem(f"and {len(blocking) - _SHOWN} more differences", "segue check --json has all"))
    warned = [Problem(f.sentence, f.mend, severity="warns") for c in found.there for f in c.findings if f.severity == "warns"]
    if not blocking:
        warned += [Problem(f"after a switchover there would be no way back: {f.sentence}", f.mend, severity="warns")
                   for c in found.back for f in c.blocked]  # fmt: skip
    if len(warned) > _SHOWN:
        warned = [*warned[:_SHOWN], Problem(f"and {len(warned) - _SHOWN} more", "segue check --json has all", severity="warns")]
    return problems + warned


GUARDRAIL = Guardrail(
    "same_tables", "blocks", "Every replicated table fits on the other side.", _check,
    unsafe="rows would be lost or the way back blocked",
)  # fmt: skip
