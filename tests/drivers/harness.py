"""Starts the programs, reads what they say as they say it, and counts it against the servers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import tool
from lab.deployment import APP_PASSWORD
from lab.fetch import LabError, Tool
from lab.toolchains import go, java, node

PROGRAMS = Path(__file__).parent / "programs"
PYTHON = {"pymysql": "pymysql_app.py", "asyncmy": "asyncmy_app.py", "sqlalchemy": "sqlalchemy_app.py"}
LIGHT = (*PYTHON, "mysqlclient", "php", "node", "mysql-cli", "mariadb-cli")
TOOLCHAINS = ("jdbc", "go")


def command(name: str, work: Path) -> tuple[Tool, list[str]]:
    """A driver's program and its arguments behind the contract's."""
    here = Tool([sys.executable], {"PYTHONPATH": str(PROGRAMS)})
    if name in PYTHON:
        return Tool([*here.argv, str(PROGRAMS / PYTHON[name])], here.env), []
    match name:
        case "mysqlclient":
            one = tool("python-mysqldb")
            path = f"{one.env['PYTHONPATH']}:{PROGRAMS}"
            return Tool([*one.argv, str(PROGRAMS / "mysqldb_app.py")], one.env | {"PYTHONPATH": path}), []
        case "php":
            one = tool("php")
            return Tool([*one.argv, "-f", str(PROGRAMS / "app.php"), "--"], one.env), []
        case "node":
            one = node("mysql2")
            return Tool([*one.argv, str(PROGRAMS / "app.js")], one.env), []
        case "mysql-cli" | "mariadb-cli":
            return Tool([*here.argv, str(PROGRAMS / "cli_app.py")], here.env), tool(name.removesuffix("-cli")).argv
        case "jdbc":
            return java(PROGRAMS / "App.java", work), []
        case "go":
            return go(PROGRAMS / "app.go", work), []
    raise LabError(f"no driver {name}")


@dataclass
class Program:
    """One application while it runs."""

    name: str
    client: int
    process: subprocess.Popen[str]
    acknowledged: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            match word:
                case "ok":
                    self.acknowledged.append(int(rest))
                case "error":
                    self.errors.append(rest)
                case "lost":
                    self.lost.append(rest)
                case _:
                    self.other.append(line.strip())


class Fleet:
    """All programs against one port."""

    def __init__(self, names: tuple[str, ...], port: int, work: Path) -> None:
        self._end = work / "end"
        self.programs: list[Program] = []
        self._readers: list[threading.Thread] = []
        for number, name in enumerate(names, 1):
            found, more = command(name, work)
            process = subprocess.Popen(
                [*found.argv, str(port), APP_PASSWORD, str(number), str(self._end), *more],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env=os.environ | found.env,
            )  # fmt: skip
            program = Program(name, number, process)
            self.programs.append(program)
            self._readers.append(threading.Thread(target=program.read, daemon=True))
            self._readers[-1].start()

    def all_go_on(self, rounds: int = 15, limit: float = 30.0) -> None:
        """Until each has had so many more transactions acknowledged."""
        wanted = {p.name: len(p.acknowledged) + rounds for p in self.programs}
        deadline = time.monotonic() + limit
        while slow := [p for p in self.programs if len(p.acknowledged) < wanted[p.name]]:
            assert time.monotonic() < deadline, [(p.name, p.errors[-3:], p.other[-5:]) for p in slow]
            time.sleep(0.02)

    def stop(self) -> None:
        self._end.touch()
        for program in self.programs:
            try:
                program.process.wait(20)
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()
        for reader in self._readers:
            reader.join(10)

    def verify(self, server: Any) -> None:
        """What was acknowledged is there exactly once, what was refused at most once, and nothing else."""
        for program in self.programs:
            rows = [n for (n,) in server.sql("SELECT seq FROM shop.entries WHERE client = %s", (program.client,))]
            assert len(rows) == len(set(rows)), f"{program.name}: doubled"
            missing = set(program.acknowledged) - set(rows)
            assert not missing, f"{program.name}: lost {sorted(missing)[:5]}"
            assert len(set(rows) - set(program.acknowledged)) <= len(program.errors), program.name
            assert not program.lost, f"{program.name}: {program.lost[:3]}"
            assert program.other[-1:] == ["bye"], f"{program.name}: {program.other[-5:]}"
            assert program.errors or len(program.other) == 1, f"{program.name}: {program.other[-5:]}"
