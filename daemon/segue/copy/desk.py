"""Control's end of a seed: whether the standby has to be filled, and the commands to fill it."""

from __future__ import annotations

from typing import Any, Final

from segue.config import Config
from segue.copy import record
from segue.copy.plan import own_tables, unsettled
from segue.errors import Refused, SegueError
from segue.log import get_logger
from segue.replicate import progress
from segue.roles import mapping_from
from segue.switchover.server import Server

log = get_logger("seed")
CLONING: Final = "cloning"
"""The standby is being made a clone of the whole active side, see `control.cloning`."""
EMPTY: Final = frozenset({"unseeded", "cancelled", CLONING})
"""States of a seed in which no stream runs: there is nothing that it could keep equal."""
START: Final = "seed"
"""`replicate.start` that says: the standby is to be filled, whatever it looks like."""


async def look(config: Config, source: Server, target: Server) -> str | None:
    """The state of the seed on the standby; None when there never was one: then both sides count as equal."""
    del source
    _, conn = await target.get()
    found = await record.read(conn, config.deployment.name)
    return found.state if found is not None else None


async def first_look(config: Config, source: Server, target: Server) -> bool:
    """At the very first start: whether the standby is empty and has to be seeded, which is then written down there."""
    start = config.replicate.start
    if start not in ("current", START):
        return False
    _, here = await source.get()
    _, there = await target.get()
    mapping = mapping_from(source.label, config.replicate)
    state = await look(config, source, target)
    if state in EMPTY:
        return True
    if state is not None or (start == "current" and not await unsettled(here, there, mapping)):
        return False
    await record.ensure(there)
    await record.begin(there, config.deployment.name, "unseeded", {})
    log.warning("the standby is empty: clients are served; segue seed fills it", side=target.label)
    return True


async def order(config: Config, source: Server, target: Server, *, users: bool, overwrite: bool, again: bool) -> None:
    """Write down on the standby that it is to be filled. The replicator does the rest at its next start.

    Raises Refused when it is filled already, or is being filled.
    """
    _, there = await target.get()
    state = await look(config, source, target)
    if state in record.ACTIVE:
        raise Refused("the standby is being seeded already", mend="segue seed --status shows how far it is")
    if state not in EMPTY and not again:
        raise Refused("the standby is filled and follows the stream", mend="To fill it anew: segue seed --again")
    await record.ensure(there)
    await progress.ensure(there)  # a clone that failed has taken it away
    mapping = mapping_from(source.label, config.replicate)
    own = await own_tables(there, config.deployment.name, mapping)
    options = {"users": users, "overwrite": overwrite or again, "own": own}
    await record.begin(there, config.deployment.name, "new", options)


def phase(steady: str, state: str | None, replication: dict[str, Any]) -> str:
    """What `status` says: unseeded, seeding, or the switchover's own phase."""
    if state == CLONING:
        return "seeding"
    running = (replication.get("details") or replication).get("seed")
    if running and running["state"] not in ("done", "cancelled"):
        return "seeding"
    return "unseeded" if state in EMPTY else "seeding" if state in record.ACTIVE else steady


class Desk:
    """Keeps the last known state, so that asking for the status asks no server."""

    def __init__(self) -> None:
        self.state: str | None = None

    async def refresh(self, config: Config, source: Server, target: Server) -> None:
        """Ask the standby; one that cannot be asked leaves what was known."""
        try:
            self.state = await look(config, source, target)
        except SegueError as error:
            log.debug("the standby cannot be asked now", error=str(error))

    def told(self, replication: dict[str, Any]) -> None:
        """The replicator's word is newer than ours."""
        running = replication.get("seed")
        if self.state == CLONING:
            return
        if running and running["state"] in ("done", "cancelled"):
            self.state = str(running["state"])
        elif running:
            self.state = "copying"
