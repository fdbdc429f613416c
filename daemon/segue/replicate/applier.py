"""The connection that applies batches to the target.

Theory of exactly-once. Rows and the progress row are committed together, so what a lost connection left is either
all there or not at all, and reading the row tells which. One thing could still spoil it: a statement of an earlier
connection that the server is yet to finish when the next one reads the row. So each connection first takes a named
lock that the server frees only when the earlier connection's work has ended.
"""

from __future__ import annotations

import binascii
import hashlib
import itertools
from collections.abc import Iterator
from typing import Any, Final

from segue.binlog.batch import LARGE, Batch, BatchWriter, Run
from segue.binlog.events import without_checksums
from segue.config import Endpoint
from segue.errors import ConnectionLost, ServerError
from segue.flavour import Flavour, Identity, detect
from segue.replicate import held, progress, sqlpath
from segue.replicate.assembler import Stop
from segue.replicate.guard import Altered, Guard, Key, question
from segue.sql import Connection, connect, quote

LOCK_WAIT: Final = 10
"""Seconds to wait for an earlier connection's end before it is killed."""
APPLY_LIMIT: Final = 3600.0
"""Seconds that one batch may take; keyless tables can make the server search each row."""
_PACKET: Final = 1_000_000
_MANY: Final = 2000
_ACCESS_DENIED: Final = 1227
_PROGRESS_ROOM: Final = 64 * 1024
_RETRY: Final = frozenset({1205, 1213, 1290, 1317, 3100, 3101})
"""Lock wait, deadlock, read-only for the moment, interrupted, rollback hooks: the same again may succeed."""
_MENDS: Final = {
    1032: "A row to change is missing on the target: it was changed by somebody else. Compare both sides",
    1062: "A row to insert is there already: the target was changed by somebody else. Compare both sides",
    1146: "Create the table on the target as it is on the source",
    1142: "Grant what is missing on the target: segue check names it",
    1227: "Grant what is missing on the target: segue check names it",
    1114: "The target is full: make room there",
    1021: "The target's disk is full: make room there",
    3: "The target cannot write: is its disk full?",
}


class Work:
    """One batch as statements."""

    def __init__(self) -> None:
        self.statements: list[bytes] = []
        self.commit: list[bytes] = []
        """Progress and COMMIT; empty for a part of a transaction."""
        self.checked: dict[int, sqlpath.Statement] = {}
        """Statements whose row counts count, by their place."""
        self.tables: dict[Key, bool] = {}
        """Tables that the transaction first touches here, and whether by statements."""

    def add(self, statement: bytes) -> None:
        self.statements.append(statement)

    def check(self, statement: sqlpath.Statement) -> None:
        self.checked[len(self.statements)] = statement
        self.statements.append(statement.text)

    def packets(self) -> Iterator[tuple[int, list[bytes]]]:
        """(number of the first, statements) of each packet; the commit is not among them."""
        first, size = 0, 0
        for number, statement in enumerate(self.statements):
            if number > first and (size + len(statement) > _PACKET or number - first >= _MANY):
                yield first, self.statements[first:number]
                first, size = number, 0
            size += len(statement)
        yield first, self.statements[first:]


class Applier:
    """One connection to the target, ready for BINLOG statements."""

    def __init__(self, conn: Connection, flavour: Flavour, identity: Identity, deployment: str, max_packet: int) -> None:
        self._conn = conn
        self.flavour = flavour
        self.identity = identity
        self._deployment = deployment
        self._writer = BatchWriter(identity.server_id)
        self._max_packet = max_packet
        self._open_transaction = False
        self._by_sql = False
        """The session is set for statements."""
        self._flags = -1
        """The row event flags that it is set for."""
        self.binlog_allowed = True
        self.guard: Guard | None = None
        """What holds the rows against the definitions they were made for; to be set before the first batch with rows."""
        self._touched: dict[Key, bool] = {}
        """Tables whose locks the open transaction holds, as in `Work.tables`."""

    @classmethod
    async def open(cls, endpoint: Endpoint, where: str, deployment: str) -> Applier:
        """Connect, wait for an earlier connection's end. Raises ConnectionLost and ServerError."""
        conn = await connect(endpoint, where=where, program="segue-apply", count_found=True)
        try:
            flavour = await detect(conn)
            await take_lock(conn, deployment)
            identity = await flavour.identify(conn)
            max_packet = int(await conn.value("SELECT @@max_allowed_packet"))
            return cls(conn, flavour, identity, deployment, max_packet)
        except BaseException:
            conn.abandon()
            raise

    @property
    def connection(self) -> Connection:
        return self._conn

    async def describe(self, description: bytes) -> None:
        """Give the session the target's own format description, and what must be set after it.

        A server that does not permit it leaves `binlog_allowed` False: everything goes by statements then.
        """
        text = binascii.b2a_base64(without_checksums(description), newline=False)
        try:
            await self._conn.query(b"BINLOG '" + text + b"'")
        except ServerError as error:
            if error.code != _ACCESS_DENIED:
                raise
            self.binlog_allowed = False
            return
        for statement in self.flavour.apply_session:
            await self._conn.query(statement)

    def prepare(self, batch: Batch, position: str | None) -> Work:
        """The statements for one batch; with a position they end in a commit. Raises Stop.

        `position` is None for a part of a transaction that goes on in the next batch.
        """
        work = Work()
        if not self._open_transaction:
            work.add(b"BEGIN")
            self._touched = {}
        self._touch(work, batch)
        for by_binlog, runs in itertools.groupby(batch.runs, key=lambda run: bool(run.map.tail)):
            if by_binlog:
                work.add(self._fitting(self._writer.statement(list(runs)), "a row event"))
                self._by_sql, self._flags = False, -1  # row events set the session's foreign_key_checks
            else:
                for run in runs:
                    self._statements(work, run)
        for statement in held.changes(self._deployment, batch.held):
            work.add(statement)
        if position is not None:
            work.commit = [progress.advance(self._deployment, position, batch.transactions), b"COMMIT"]
        self._open_transaction = position is None
        return work

    def _touch(self, work: Work, batch: Batch) -> None:
        for table in {id(run.map): run.map for run in batch.runs}.values():
            key, by_statements = (table.schema, table.table), not table.tail
            if key not in self._touched or (by_statements and not self._touched[key]):
                self._touched[key] = work.tables[key] = by_statements

    def _statements(self, work: Work, run: Run) -> None:
        if not self._by_sql:
            self._by_sql = True
            work.add(sqlpath.SESSION)
        if run.flags != self._flags:
            self._flags = run.flags
            work.add(sqlpath.session_for(run.flags))
        assert isinstance(run.map, sqlpath.SqlTable)
        for statement in run.map.statements(run):
            self._fitting(statement.text, "a statement")
            work.check(statement)

    def _fitting(self, statement: bytes, what: str) -> bytes:
        if len(statement) + _PROGRESS_ROOM > self._max_packet:
            need = -(-(len(statement) + _PROGRESS_ROOM) // (1 << 20))
            raise Stop(
                f"{what} of {len(statement) >> 20} MB does not fit the target's max_allowed_packet of"
                f" {self._max_packet >> 20} MB",
                mend=f"On the target: SET GLOBAL max_allowed_packet = {need} * 1048576;",
            )
        return statement

    async def apply(self, work: Work) -> None:
        """Run what `prepare` made.

        Raises Stop for what will not succeed if tried again, Altered when the target's tables are not those that the
        rows were made for, ConnectionLost and ServerError otherwise. After any of them this connection is cut, and
        the transaction with it.
        """
        try:
            await self._apply(work)
        except ConnectionLost:
            raise
        except (Stop, Altered, ServerError) as error:
            self._conn.abandon()
            if isinstance(error, Altered) or (isinstance(error, ServerError) and error.code in _RETRY):
                raise
            if self.guard is not None:
                await self.guard.look(work.tables)
            if isinstance(error, Stop):
                raise
            detail = ""
            if error.code == 1105:
                detail = " (the server's error log has the reason)"
            raise Stop(f"{error.message}{detail}", mend=_MENDS.get(error.code, "")) from None

    async def _apply(self, work: Work) -> None:
        if work.checked:
            for first, statements in work.packets():
                await self._checked(work, first, statements)
        if not work.tables:
            await self._run([] if work.checked else work.statements, work.commit)
            return
        asked = [question(key) for key in work.tables]
        answers = await self._run([] if work.checked else work.statements, asked)
        assert self.guard is not None
        await self.guard.check(work.tables, answers[-len(asked) :])
        await self._run(work.commit)

    async def _run(self, *statements: list[bytes]) -> list[list[dict[str, Any]]]:
        """In as few packets as they fit; the rows of each."""
        answers: list[list[dict[str, Any]]] = []
        for some in _packets([one for part in statements for one in part], self._max_packet):
            answers += await self._conn.run(b";".join(some), timeout=APPLY_LIMIT, count=len(some))
        return answers

    async def _checked(self, work: Work, first: int, statements: list[bytes]) -> None:
        """One packet of statements, none of which commits. Raises Stop where one did not find its rows."""
        outcomes = await self._conn.run_counted(b";".join(statements), timeout=APPLY_LIMIT, count=len(statements))
        for number, (rows, warnings) in enumerate(outcomes, first):
            statement = work.checked.get(number)
            if statement is None:
                continue
            if rows != statement.rows:
                raise Stop(f"{statement.what} found {rows} rows instead of {statement.rows}", mend=_MENDS[1032])
            if warnings:
                shown = await self._conn.query(b"SHOW WARNINGS") if number == first + len(statements) - 1 else []
                text = f": {shown[0]['Message']}" if shown else ""
                raise Stop(f"{statement.what} was warned about by the target{text}", mend="A value does not fit its column there")

    async def close(self) -> None:
        await self._conn.close()

    def abandon(self) -> None:
        self._conn.abandon()


def _packets(statements: list[bytes], most: int) -> Iterator[list[bytes]]:
    """As many statements at a time as fit one packet; usually all. Each of them fits."""
    some: list[bytes] = []
    size = 0
    for statement in statements:
        # A large one goes alone, and is not copied for that.
        if some and (size + len(statement) + 2 > most or len(statement) >= LARGE or size >= LARGE):
            yield some
            some, size = [], 0
        some.append(statement)
        size += len(statement) + 1
    if some:
        yield some


async def take_lock(conn: Connection, deployment: str) -> str:
    """Wait for the end of an earlier connection that applies; the lock's name, quoted. Raises ConnectionLost."""
    lock = quote("segue." + hashlib.sha256(deployment.encode()).hexdigest()[:40])
    for attempt in range(2):
        if int(await conn.value(f"SELECT GET_LOCK({lock}, {LOCK_WAIT})", timeout=LOCK_WAIT + 10.0) or 0):
            return lock
        holder = await conn.value(f"SELECT IS_USED_LOCK({lock})")
        if attempt == 0 and holder is not None:
            await conn.query(f"KILL {int(holder)}")
    raise ConnectionLost(
        0, "another connection applies for this deployment and does not end", where=conn.where,
        mend="Is a second segue daemon running? SHOW PROCESSLIST there names it",
    )  # fmt: skip
