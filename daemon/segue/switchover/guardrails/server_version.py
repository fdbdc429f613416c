"""An older standby may lack what applications use on the active side."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    (source, _), (target, _) = await context.source.get(), await context.target.get()
    if source.name != target.name or target.version[:2] >= source.version[:2]:
        return []
    return [Problem(f"the standby is {target.label} {target.version_text}, older than {source.version_text} on the active side",
                    "Pass over this with --allow server_version when that is meant")]  # fmt: skip


GUARDRAIL = Guardrail("server_version", "blocks", "The standby is not older than the active side.", _check)
