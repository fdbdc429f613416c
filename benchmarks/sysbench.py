"""sysbench of the lab: tables, load, and what it reports."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import LabError, tool
from lab.fetch import rootfs, sysbench_script


@dataclass(frozen=True, slots=True)
class Target:
    """Where sysbench connects to; `tls` is a folder with the key and certificates that it reads, None without TLS."""

    port: int
    user: str
    password: str
    host: str = "127.0.0.1"
    database: str = "sbtest"
    tls: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """sysbench's own summary of one run."""

    transactions: int
    queries: int
    seconds: float
    p95_ms: float
    errors: int

    @property
    def transactions_per_second(self) -> float:
        return self.transactions / self.seconds

    @property
    def queries_per_second(self) -> float:
        return self.queries / self.seconds


def parse(text: str) -> Outcome:
    """The figures in sysbench's final report. Raises LabError for a text that is none."""

    def figure(pattern: str) -> float:
        found = re.search(pattern, text)
        if found is None:
            raise LabError(f"no figure for {pattern!r} in sysbench's report: {text[-600:]}")
        return float(found[1])

    return Outcome(
        int(figure(r"transactions:\s+(\d+)")),
        int(figure(r"queries:\s+(\d+)")),
        figure(r"total time:\s+([\d.]+)s"),
        figure(r"95th percentile:\s+([\d.]+)"),
        int(figure(r"ignored errors:\s+(\d+)")),
    )


class Sysbench:
    """A number of tables of a size, and runs on them."""

    def __init__(self, tables: int, size: int) -> None:
        self.tables = tables
        self.size = size

    def command(self, script: str, target: Target, verb: str, options: dict[str, str | int]) -> list[str]:
        settings: dict[str, str | int] = {
            "db-driver": "mysql", "mysql-host": target.host, "mysql-port": target.port, "mysql-user": target.user,
            "mysql-password": target.password, "mysql-db": target.database, "mysql-ssl": "on" if target.tls else "off",
            "tables": self.tables, "table-size": self.size, "percentile": 95,
        }  # fmt: skip
        given = [f"--{key}={value}" for key, value in (settings | options).items()]
        return [*tool("sysbench").argv, sysbench_script(script), *given, verb]

    def launch(self, script: str, target: Target, verb: str = "run", **options: str | int) -> subprocess.Popen[str]:
        """Start it; `finish` waits for it. Option names with _ for -."""
        named = {key.replace("_", "-"): value for key, value in options.items()}
        return subprocess.Popen(
            self.command(script, target, verb, named), env=_environment(), text=True, cwd=target.tls,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def prepare(self, target: Target) -> None:
        """Make and fill the tables; the database must exist."""
        _output(self.launch("oltp_write_only", target, "prepare", threads=min(4, self.tables)), "prepare")

    def run(self, script: str, target: Target, **options: str | int) -> Outcome:
        """One whole run."""
        return finish(self.launch(script, target, "run", **options), script)


def finish(process: subprocess.Popen[str], what: str) -> Outcome:
    """Wait for a run to end; its figures. Raises LabError when it failed."""
    return parse(_output(process, what))


def _output(process: subprocess.Popen[str], what: str) -> str:
    try:
        text, _ = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise LabError(f"sysbench {what} ended with {process.returncode}: {text[-800:]}")
    return text


def _environment() -> dict[str, str]:
    """caching_sha2_password is a plugin of sysbench's client library, to be found in the lab's tree."""
    root: Path = rootfs("tools") / "rootfs"
    plugins = next(root.glob("usr/lib/*/libmariadb3/plugin"), None)
    extra = {"MARIADB_PLUGIN_DIR": str(plugins)} if plugins else {}
    return tool("sysbench").environment() | extra
