"""A switchover away from a dead source: what is known to be missing, and what may be.

Nothing of the dead side can be fenced or read, so the statement says what was received and applied, when the source
was last heard, and that whatever it committed after that is not here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from segue.errors import ConnectionLost, Refused, SegueError
from segue.replicate.progress import Progress
from segue.roles import Side
from segue.sql import connect

LOOKS = 2
LOOK_LIMIT = 2.0
SETTLE_LIMIT = 10.0


async def require_dead(side: Side) -> None:
    """Raises Refused when the source answers: then nothing need be lost."""
    for _ in range(LOOKS):
        try:
            conn = await connect(side.endpoint, where=side.where, timeout=LOOK_LIMIT, program="segue-force")
        except ConnectionLost:
            continue
        except SegueError as error:
            raise Refused(f"{side.where} is alive: {error.message}", mend="Force is for a source that does not answer") from None
        try:
            await conn.value("SELECT 1", timeout=LOOK_LIMIT)
        except ConnectionLost:
            continue
        finally:
            conn.abandon()
        raise Refused(f"{side.where} answers: nothing need be lost",
                      mend="Run segue switchover without --force; or stop that server if it must not be used")  # fmt: skip


async def settle(replication: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Until what was received is applied, for a limited time: the replicator's status."""
    deadline = time.monotonic() + SETTLE_LIMIT
    while True:
        status = await replication()
        received, applied = status.get("source_position"), status.get("applied_position")
        if received == applied or time.monotonic() > deadline:
            return status
        if status.get("state") == "stopped":
            raise Refused(f"replication stopped before the end of what was received: {status.get('error')}",
                          mend=str(status.get("mend") or ""))  # fmt: skip
        await asyncio.sleep(0.05)


def statement(status: dict[str, Any], row: Progress | None, source: str) -> dict[str, Any]:
    """What is known, as facts and in words.

    applied, received: positions; last_contact: Unix seconds, None when this daemon never heard from the source.
    """
    applied = (row.position if row else None) or status.get("applied_position")
    received = status.get("source_position") or applied
    heard = status.get("last_contact")
    ago = f"{max(0.0, time.time() - float(heard)):.1f} s ago" if heard else "before this daemon was started"
    missing = "all of what was received is applied" if received == applied else f"received up to {received}, not all of it applied"
    words = (
        f"{source} does not answer; it was last heard {ago}. Applied here: {applied}; {missing}."
        f" What {source} committed after that is not here, and clients may have been told that it was done."
        f" {source} cannot be fenced while it does not answer: keep applications from reaching it directly"
    )
    return {"applied": applied, "received": received, "last_contact": heard, "words": words}
