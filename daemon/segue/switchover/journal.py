"""What must survive a crash: which side is active, and how far a switchover has come.

SQLite with WAL and synchronous=FULL: a row is on disk when `commit` returns (sqlite.org/pragma.html#synchronous).
The directory's lock lives here too, since two daemons must never act for one deployment.

A full disk must not stop a switchover in the middle: a file of reserve is given up for the entries that end it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from segue.errors import ConfigError, Refused, SegueError
from segue.switchover.machine import State

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deployment (
  one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL, active TEXT NOT NULL, epoch INTEGER NOT NULL,
  seen INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS switchover (
  id INTEGER PRIMARY KEY, started REAL NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
  state TEXT NOT NULL, facts TEXT NOT NULL DEFAULT '{}', report TEXT);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


T = TypeVar("T")
_WAL_PAGES: Final = 64
RESERVE: Final = 256 * 1024
"""Bytes kept for the entries of a switchover on a disk that has filled up meanwhile; each takes 4 to 12 kB."""


class JournalError(SegueError):
    """An entry could not be written. With `in_doubt` it may be found there after a crash all the same."""

    def __init__(self, message: str, *, mend: str, in_doubt: bool) -> None:
        super().__init__(message, mend=mend)
        self.in_doubt = in_doubt


@dataclass(frozen=True, slots=True)
class Entry:
    """A switchover that has not ended."""

    id: int
    source: str
    target: str
    state: State
    facts: dict[str, Any]


class Journal:
    """One per state_dir, held with an exclusive lock for as long as the object lives."""

    def __init__(self, state_dir: Path, deployment: str) -> None:
        self.path = state_dir / "journal.sqlite"
        self._reserve = state_dir / "reserve"
        self._lock = _lock(state_dir)
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            os.chmod(self.path, 0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            # SQLite's own 1,000 pages would let the log of this small file grow to 4 MB.
            self._db.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
            self._db.executescript(_SCHEMA)
            self._db.execute(
                "INSERT OR IGNORE INTO deployment (one, name, active, epoch) VALUES (1, ?, 'blue', 1)",
                (deployment,),
            )
            (name,) = self._db.execute("SELECT name FROM deployment").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"the journal {self.path} cannot be used: {error}",
                mend="Free the disk or mend the permissions; never delete a journal while a side may be fenced",
            ) from None
        if name != deployment:
            raise ConfigError(
                f"{state_dir} belongs to deployment '{name}', not '{deployment}'", mend="Use another state_dir"
            )

    @property
    def active(self) -> str:
        """The label of the side that is active."""
        return str(self._db.execute("SELECT active FROM deployment").fetchone()[0])

    @property
    def epoch(self) -> int:
        """Grows by one at every switchover that commits."""
        return int(self._db.execute("SELECT epoch FROM deployment").fetchone()[0])

    @property
    def seen(self) -> bool:
        """Whether a daemon has ever been up with both servers there."""
        return bool(self._db.execute("SELECT seen FROM deployment").fetchone()[0])

    def mark_seen(self) -> None:
        self._write(lambda db: db.execute("UPDATE deployment SET seen = 1"))

    @property
    def owner(self) -> str:
        """The daemon's own name on the servers, made once and kept with the state_dir."""
        found = self.fact("owner")
        if found is None:
            found = str(uuid.uuid4())
            self.set_fact("owner", found)
        return str(found)

    def fact(self, name: str) -> Any:
        """Something that is kept beside the switchovers; None when it was never set."""
        row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def set_fact(self, name: str, value: Any) -> None:
        """Keep it; None removes it. On disk when this returns."""
        if value is None:
            self._write(lambda db: db.execute("DELETE FROM fact WHERE name = ?", (name,)))
            return
        row = name, orjson.dumps(value).decode()
        self._write(lambda db: db.execute("INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", row))

    def begin(self, source: str, target: str) -> int:
        """A switchover's number. Raises JournalError where the reserve cannot be made: nothing has begun then."""
        self._make_reserve()
        row = (time.time(), source, target, State.CHECKING)
        return self._write(
            lambda db: int(
                db.execute("INSERT INTO switchover (started, source, target, state) VALUES (?, ?, ?, ?)", row).lastrowid or 0
            )
        )

    def enter(self, switchover: int, state: State, **facts: Any) -> None:
        """Write that `state` begins, before anything of it is done. On disk when it returns; raises JournalError."""

        def write(db: sqlite3.Connection) -> None:
            (old,) = db.execute("SELECT facts FROM switchover WHERE id = ?", (switchover,)).fetchone()
            merged = orjson.dumps(orjson.loads(old) | facts).decode()
            db.execute("UPDATE switchover SET state = ?, facts = ? WHERE id = ?", (state, merged, switchover))

        self._write(write)

    def finish(self, switchover: int, report: dict[str, Any], *, new_active: str | None) -> None:
        """End a switchover; with `new_active` the roles are swapped in the same commit. Raises JournalError."""

        def write(db: sqlite3.Connection) -> None:
            text = orjson.dumps(report).decode()
            db.execute("UPDATE switchover SET state = ?, report = ? WHERE id = ?", (State.STEADY, text, switchover))
            if new_active is not None:
                db.execute("UPDATE deployment SET active = ?, epoch = epoch + 1", (new_active,))

        self._write(write)

    def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """One durable commit. A full disk is tried again without the reserve."""
        for last in (False, True):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                result = change(self._db)
                self._db.execute("COMMIT")
                return result
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
                if full and not last and self._reserve.exists():
                    self._reserve.unlink(missing_ok=True)
                    continue
                # A commit that could not even be written is certain not to be there; one whose sync failed is not.
                raise JournalError(
                    f"the journal {self.path} cannot be written: {error}",
                    mend=f"Make room in {self.path.parent}, or mend its disk", in_doubt=not full,
                ) from None  # fmt: skip
        raise AssertionError("the second try returns or raises")

    def _make_reserve(self) -> None:
        try:
            if not self._reserve.exists() or self._reserve.stat().st_size < RESERVE:
                self._reserve.write_bytes(b"\0" * RESERVE)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            raise JournalError(
                f"{self.path.parent} has no room for the journal of a switchover: {error.strerror}",
                mend=f"Make at least {RESERVE // 1024} kB of room there", in_doubt=False,
            ) from None  # fmt: skip

    def unfinished(self) -> Entry | None:
        row = self._db.execute(
            "SELECT id, source, target, state, facts FROM switchover WHERE state <> ? ORDER BY id DESC LIMIT 1",
            (State.STEADY,),
        ).fetchone()
        return Entry(row[0], row[1], row[2], State(row[3]), orjson.loads(row[4])) if row else None

    def last_reports(self, number: int) -> list[dict[str, Any]]:
        """Reports of the last switchovers that ended, newest first."""
        rows = self._db.execute(
            "SELECT report FROM switchover WHERE report IS NOT NULL ORDER BY id DESC LIMIT ?", (number,)
        ).fetchall()
        return [dict(orjson.loads(row[0])) for row in rows]

    def last_report(self) -> dict[str, Any] | None:
        return next(iter(self.last_reports(1)), None)

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)


def _lock(state_dir: Path) -> int:
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"deployment.state_dir {state_dir} is not writable: {error.strerror}",
            mend="Create it for the user that runs segue",
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(handle, 32).decode(errors="replace").strip()
        os.close(handle)
        raise Refused(
            f"another segue{f' (process {owner})' if owner else ''} works with state_dir {state_dir}",
            mend="Stop it first, or give this deployment its own state_dir",
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle
