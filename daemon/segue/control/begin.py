"""Before the first client is let in: both sides are as they must be, and it is written down that they are equal."""

from __future__ import annotations

from segue.binlog.events import BinlogError
from segue.binlog.positions import FilePosition, GtidSet, parse
from segue.config import Config
from segue.copy.desk import first_look
from segue.errors import ConfigError, ConnectionLost, Refused, SegueError
from segue.log import get_logger
from segue.replicate import progress
from segue.switchover import guardrails
from segue.switchover.claim import NotOwner
from segue.switchover.journal import Journal
from segue.switchover.server import Server

log = get_logger("control")


async def preflight(config: Config, journal: Journal, source: Server, target: Server) -> None:
    """The first start wants both sides as they must be; later ones serve what there is."""
    for server in (source, target):
        try:
            await server.connection()
        except NotOwner:
            raise
        except SegueError as error:
            if not journal.seen:
                raise
            log.warning("a server cannot be reached; starting all the same", side=server.label, error=str(error))
            return
    chosen = [g for g in guardrails.every() if g.at_start or (g.at_first_start and not journal.seen)]
    context = guardrails.Context(config, source, target)
    found = [f for f in await guardrails.run(context, chosen) if f.severity == "blocks"]
    if found and journal.seen and (silent := await _silent(source, target)) is not None:
        log.warning("a server went away while it was looked at; starting all the same", side=silent)
        return
    if found:
        raise Refused("; ".join(f.sentence for f in found), mend=" ".join(f.mend for f in found if f.mend))
    if not journal.seen:
        await _first_progress(config, journal.epoch, source, target)


async def _silent(source: Server, target: Server) -> str | None:
    """A side that does not answer now: what was found of it means nothing."""
    for server in (source, target):
        try:
            await (await server.connection()).query("SELECT 1 AS x")
        except NotOwner:
            raise
        except ConnectionLost:
            return server.label
    return None


async def _first_progress(config: Config, epoch: int, source: Server, target: Server) -> None:
    """Both sides count as equal at `replicate.start`: write that down on the standby before anything else."""
    deployment = config.deployment
    for server in (source, target):
        _, conn = await server.get()
        await progress.ensure(conn)
    flavour, _ = await source.get()
    _, there = await target.get()
    assert source.identity is not None
    source_id = source.identity.source_id
    found = await progress.read(there, deployment.name)
    if found is not None:
        if (found.source_id, found.epoch) != (source_id, epoch):
            raise Refused(
                f"{target.side.where} has progress of deployment '{deployment.name}' from another source"
                f" ({found.source_id}, epoch {found.epoch}), and {deployment.state_dir} knows nothing of it",
                mend="Restore the state_dir; or, if both sides are equal, delete the row from segue.progress",
            )
        log.info("going on from the progress found on the standby", position=found.position)
        return
    if await first_look(config, source, target):
        return
    start = config.replicate.start
    try:
        position = await source.position() if start == "current" else parse(
            start, mariadb=flavour.dump_is_mariadb).text()  # fmt: skip
    except BinlogError as error:
        raise ConfigError(f"replicate.start: {error}", mend='Give "current", "seed", a GTID set, or "file:pos"') from None
    if start != "current":
        position = await _without_own(source, target, position)
        await refuse_gaps(source, position)
    await progress.initialise(there, deployment.name, source_id, position, epoch)
    log.info("both sides count as equal from here on", position=position, source=source.label)


async def _without_own(source: Server, target: Server, position: str) -> str:
    """Of a replica's GTID set, what the replica wrote by itself is no place in the source's binlog.

    A first start that was refused leaves such transactions, too: Segue's own tables.
    """
    flavour, conn = await source.get()
    wanted = parse(position, mariadb=flavour.dump_is_mariadb)
    uuid = target.identity.uuid if target.identity is not None else None
    if not isinstance(wanted, GtidSet) or not flavour.gtid or uuid is None:
        return position
    own = GtidSet(await flavour.never_had(conn, position) or "").of(uuid)
    if not own.text():
        return position
    log.warning("replicate.start: what the standby wrote by itself is left out; segue verify tells whether rows differ",
                own=own.text(), side=target.label)  # fmt: skip
    return wanted.without(own).text()


async def refuse_gaps(source: Server, position: str) -> None:
    """A start that a backup or a replica gave: the source must still have all that came after it, and know it."""
    flavour, conn = await source.get()
    where = source.side.where
    if isinstance(parse(position, mariadb=flavour.dump_is_mariadb), FilePosition) == flavour.gtid:
        kind, other = ("GTIDs", "the GTID set") if flavour.gtid else ("no GTIDs", '"file:pos"')
        raise Refused(f"replicate.start: {where} has {kind}, so {position} is no place there",
                      mend=f"Give {other} that the backup names")  # fmt: skip
    unknown = await flavour.never_had(conn, position)
    if unknown is not None:
        raise Refused(
            f"replicate.start: {where} has never executed {unknown}",
            mend="Was the backup taken from another server? What a replica wrote by itself is left out of the set, if it"
            " touched no replicated row: segue verify tells",
        )
    gone = await flavour.purged(conn, position)
    if gone is not None:
        raise Refused(f"replicate.start: {where} no longer has the binlog behind it: {gone} is purged",
                      mend="Take a newer backup, or let segue seed fill an empty standby")  # fmt: skip
