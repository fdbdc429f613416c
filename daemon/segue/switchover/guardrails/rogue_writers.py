"""Somebody fixed something on the standby: its rows are not the active side's any more."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem

_NAMED = 3


async def _check(context: Context) -> list[Problem]:
    known = context.way_back.standby if context.way_back is not None else None
    if known is None or known["side"] != context.target.label or not known["foreign"]:
        return []
    named = "; ".join(f"{t['gtid']} on {', '.join(t['tables'])}" for t in known["foreign"][:_NAMED])
    return [Problem(
        f"{len(known['foreign'])} transactions on the standby {context.target.side.where} are not Segue's: {named}",
        "Compare both sides with segue verify --repair; then pass over this with --allow rogue_writers",
    )]  # fmt: skip


GUARDRAIL = Guardrail("rogue_writers", "blocks", "Nobody but Segue has written to the standby.", _check)
