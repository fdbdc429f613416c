"""An active side that refuses writes is fenced by somebody else, who may mean it."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    held = await context.source.held_by()
    if not held:
        return []
    sentence = f"the active side {context.source.side.where} refuses writes: {', '.join(held)} is on"
    return [Problem(sentence, "if nobody means it", context.source, "SET GLOBAL read_only = OFF;")]


GUARDRAIL = Guardrail(
    "source_writable", "blocks", "The active side accepts writes.", _check,
    unsafe="an abort could not put back what it did not find",
)  # fmt: skip
