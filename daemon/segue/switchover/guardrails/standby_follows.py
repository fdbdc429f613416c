"""A standby that is not fed lacks what was written since."""

from __future__ import annotations

from segue.errors import Refused
from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    if context.way_back is None:
        return []
    try:
        context.way_back.require()
    except Refused as error:
        return [Problem(error.message, error.mend)]
    return []


GUARDRAIL = Guardrail(
    "standby_follows", "blocks", "The standby is fed: its way back was neither finalised nor given up.", _check,
    unsafe="everything written since would be lost",
)  # fmt: skip
