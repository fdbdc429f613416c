"""`segue seed` and its other words, as control does them: by the replicator's copy, or by a clone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from segue.copy.desk import CLONING, EMPTY, order
from segue.errors import ConnectionLost, Refused

if TYPE_CHECKING:
    from segue.control.deployment import Control


async def command(control: Control, action: str, **options: bool) -> dict[str, Any]:
    """start, pause, resume or cancel. Raises Refused when that cannot be now."""
    if control.conductor.run is not None:
        raise Refused(f"a switchover is under way ({control.conductor.phase})", mend="Wait until it ends")
    if control.desk.state == CLONING:
        await control.cloning.command(action)
        return control.cloning.status() or {}
    if action != "start":
        return await control.feed.seed_action(action)
    for server in (control.source, control.target):
        with contextlib.suppress(ConnectionLost):  # one that was cut while idle is made anew at the next use
            await (await server.connection()).query("SELECT 1 AS x")
    clone = options.pop("clone", False)
    await control.feed.stop()
    try:
        if control.way_back.lost is not None:  # it is closed to us, too
            await control.target.unfence(writable=False)
        if clone:
            await control.cloning.order(**options)
        else:
            if control.cloning.state is not None:  # one that failed may have emptied the standby, record and all
                options["again"] = True
            await order(control.config, control.source, control.target, **options)
            control.cloning.forget()
            control.way_back.reseeded()
    finally:
        await look(control)
        if control.desk.state not in EMPTY:
            await control.start_replication(control.source, control.target, control.epoch)
    return {"state": "started"}


async def look(control: Control) -> None:
    """What the standby says of a seed; of a clone only the journal knows."""
    await control.desk.refresh(control.config, control.source, control.target)
    control.desk.state = control.cloning.state or control.desk.state
