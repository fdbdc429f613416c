"""The two that apply a backlog: the server's own parallel replication, and Segue's whole daemon.

Both are told to begin, tell how far the target is, how much CPU they use beside the target server, and to end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.processes import child, cpu_seconds
from benchmarks.servers import DATABASE
from lab import Deployment, LabError, Server

REPLICA_USER = "repl"
REPLICA_PASSWORD = "repl-lab-password"


class Rival(ABC):
    """One way for `target` to follow `source`."""

    name: ClassVar[str]

    def __init__(self, source: Server, target: Server) -> None:
        self.source = source
        self.target = target

    @property
    @abstractmethod
    def position_query(self) -> str:
        """SQL for the target whose one value is the position it has applied."""

    @abstractmethod
    def begin(self) -> None:
        """Start to follow; returns at once."""

    @abstractmethod
    def end(self) -> dict[str, Any]:
        """Stop to follow; figures of its own about what it did."""

    @abstractmethod
    def trouble(self) -> str | None:
        """Why it will not get there; None while it may."""

    def own_cpu(self) -> float:
        """CPU seconds used so far by processes of its own, beside both servers."""
        return 0.0


class Native(Rival):
    """Replication inside the target server with a number of parallel workers and otherwise its defaults."""

    name = "native"

    def __init__(self, source: Server, target: Server, workers: int) -> None:
        super().__init__(source, target)
        self.workers = workers
        self._mysql = target.flavour == "mysql"

    @staticmethod
    def create_account(source: Server) -> None:
        """The account that the replica reads with, outside the source's binlog."""
        with source.connect() as conn, conn.cursor() as cursor:
            cursor.execute("SET sql_log_bin = 0")
            cursor.execute(f"CREATE USER {REPLICA_USER}@'%' IDENTIFIED BY '{REPLICA_PASSWORD}'")
            cursor.execute(f"GRANT REPLICATION SLAVE ON *.* TO {REPLICA_USER}@'%'")

    def configure(self, position: str) -> dict[str, Any]:
        """Tell the target its source and where to start; the settings that decide its speed."""
        host, port, account = self.source.host, self.source.port, f"'{REPLICA_USER}'"
        if self._mysql:
            self.target.sql(f"SET PERSIST replica_parallel_workers = {self.workers}")
            self.target.sql(
                f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{host}', SOURCE_PORT = {port}, SOURCE_USER = {account},"
                f" SOURCE_PASSWORD = '{REPLICA_PASSWORD}', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
            )
            names = ("replica_parallel_workers", "replica_preserve_commit_order")
        else:
            self.target.sql(f"SET GLOBAL gtid_slave_pos = '{position}'")
            self.target.sql(
                f"CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}, MASTER_USER = {account},"
                f" MASTER_PASSWORD = '{REPLICA_PASSWORD}', MASTER_USE_GTID = slave_pos"
            )
            names = ("slave_parallel_mode", "slave_parallel_max_queued")
        both = (*names, "sync_binlog", "innodb_flush_log_at_trx_commit")
        values = {name: self.target.sql(f"SELECT @@GLOBAL.{name}")[0][0] for name in both}
        return values if self._mysql else values | {"slave_parallel_threads": self.workers}

    @property
    def position_query(self) -> str:
        return f"SELECT @@GLOBAL.{'gtid_executed' if self._mysql else 'gtid_slave_pos'}"

    def begin(self) -> None:
        if not self._mysql:
            self.target.sql(f"SET GLOBAL slave_parallel_threads = {self.workers}")
        self.target.sql("START REPLICA")

    def end(self) -> dict[str, Any]:
        self.target.sql("STOP REPLICA")
        return {}

    def trouble(self) -> str | None:
        with self.target.connect() as conn, conn.cursor() as cursor:
            cursor.execute("SHOW REPLICA STATUS")
            row = cursor.fetchone()
            values = dict(zip([c[0] for c in cursor.description], row, strict=True)) if row else {}
        return str(values.get("Last_SQL_Error") or "") or None


class Segue(Rival):
    """The whole daemon between source and target, as an operator starts it."""

    name = "segue"

    def __init__(self, source: Server, target: Server, folder: Path, start: str) -> None:
        """`start` is the position at which both hold the same; the daemon takes it at its very first start."""
        super().__init__(source, target)
        self.deployment = Deployment(
            folder, source, target, schemas=(DATABASE,), accounts=False, replicate=f'start = "{start}"'
        )
        self._replicator = 0

    @property
    def position_query(self) -> str:
        return "SELECT position FROM segue.progress WHERE deployment = 'lab'"

    def begin(self) -> None:
        self._replicator = 0
        self.deployment.launch()

    def own_cpu(self) -> float:
        if not self._replicator:
            assert self.deployment.process is not None
            self._replicator = child(self.deployment.process.pid, "segue.replicate")
        return cpu_seconds(self._replicator)

    def end(self) -> dict[str, Any]:
        _, status = self.deployment.segue("status")
        if code := self.deployment.stop():
            raise LabError(f"the daemon ended with {code}: {self.deployment.tail()}")
        details = status["replication"]["details"]
        return {key: details[key] for key in ("transactions", "rows", "bytes", "batches", "connects")}

    def trouble(self) -> str | None:
        process = self.deployment.process
        if process is not None and process.poll() is not None:
            return f"the daemon ended with {process.returncode}: {self.deployment.tail()}"
        code, status = self.deployment.segue("status", check=False)
        replication = status.get("replication", {}) if code == 0 else {}
        return str(replication["error"]) if replication.get("state") == "stopped" else None
