"""Row events of one flavour are not understood by the other."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    (source, _), (target, _) = await context.source.get(), await context.target.get()
    if source.name == target.name:
        return []
    sentence = f"the active side is {source.label} and the standby {target.label}"
    return [Problem(sentence, "Both must be of one flavour for now")]


GUARDRAIL = Guardrail(
    "same_flavour", "blocks", "Both sides are MySQL, or both are MariaDB.", _check,
    unsafe="rows could not be replicated", at_start=True,
)  # fmt: skip
