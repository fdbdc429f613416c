"""Every replicated table exists on both sides with the same columns and unique keys."""

from __future__ import annotations

from segue.schema import Selection, compare, read_tables
from segue.switchover.guardrails.base import Context, Guardrail, Problem

_SHOWN = 10
_MEND = "Make it the same on both sides, or put it into replicate.exclude"


async def _check(context: Context) -> list[Problem]:
    selection = Selection(context.config.replicate.schemas, context.config.replicate.exclude)
    source, target = [await read_tables((await server.get())[1], selection) for server in context.both]
    differences = [d for key, table in source.items() for d in compare(table, target.get(key))]
    blocking = [d.sentence for d in differences if d.severity == "blocks"]
    blocking += [f"table {t.full_name} exists only on the standby" for key, t in target.items() if key not in source]
    found = [Problem(sentence, _MEND) for sentence in blocking[:_SHOWN]]
    if len(blocking) > _SHOWN:
        found.append(Problem(f"and {len(blocking) - _SHOWN} more differences", _MEND))
    return found + [Problem(d.sentence, severity="warns") for d in differences if d.severity == "warns"][:_SHOWN]


GUARDRAIL = Guardrail(
    "same_tables", "blocks", "Every replicated table fits on the other side.", _check,
    unsafe="rows would be lost or the way back blocked",
)  # fmt: skip
