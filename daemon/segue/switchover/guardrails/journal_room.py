"""The journal of a switchover must be writable to its end."""

from __future__ import annotations

import os

from segue.switchover.guardrails.base import Context, Guardrail, Problem
from segue.switchover.journal import RESERVE


async def _check(context: Context) -> list[Problem]:
    folder = context.config.deployment.state_dir
    if context.way_back is None or not folder.exists():
        return []
    about = os.statvfs(folder)
    free = about.f_bavail * about.f_frsize
    if free >= 4 * RESERVE:
        return []
    return [Problem(f"{folder} has {free // 1024} kB of room left", f"Make {4 * RESERVE // 1024} kB of room there")]


GUARDRAIL = Guardrail("journal_room", "blocks", "The state_dir has room for the journal.", _check)
