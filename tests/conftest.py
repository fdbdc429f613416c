"""Servers and deployments for tests: real pairs are started once a session and emptied before each use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import workload
from lab import Deployment, Lab, Server
from lab.deployment import APP_PASSWORD

ROOT = Path(__file__).resolve().parents[1]
SYSTEM = {"mysql", "sys", "information_schema", "performance_schema"}
FLAVOURS = ("mysql", "mariadb")
FIRST = ("faults/test_kill", "integration/test_switchover", "integration/test_ways_back", "integration/test_ddl",
         "cases/", "integration/test_se", "faults/", "drivers/", "integration/")  # fmt: skip
"""Files in the order in which two workers share them out evenly: what takes long first, what is quick fills up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.nodeid.removeprefix("tests/")
        return next((n for n, begin in enumerate(FIRST) if path.startswith(begin)), len(FIRST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Lab() as one:
        yield one


@pytest.fixture(scope="session")
def pairs(lab: Lab) -> Callable[[str], tuple[Server, Server]]:
    """Blue and green of a flavour, started at first use."""
    started: dict[str, tuple[Server, Server]] = {}

    def pair(flavour: str) -> tuple[Server, Server]:
        if flavour not in started:
            started[flavour] = (
                lab.start(flavour, f"{flavour}-blue", wait=False),  # type: ignore[arg-type]
                lab.start(flavour, f"{flavour}-green", wait=False),  # type: ignore[arg-type]
            )
            for server in started[flavour]:
                server.wait()
        for server in started[flavour]:
            if not server.running:
                server.start()
            empty(server)
        return started[flavour]

    return pair


def empty(server: Server) -> None:
    """No schema and no account of an earlier test, writable, and durable as production is."""
    durable = ("sync_binlog", "innodb_flush_log_at_trx_commit")
    with server.connect() as conn, conn.cursor() as cursor:
        # What goes is not waited for on the disk: some tests leave hundreds of tables.
        for statement in ("read_only = OFF", "log_bin_trust_function_creators = 0", *(f"{name} = 0" for name in durable)):
            cursor.execute(f"SET GLOBAL {statement}")
        cursor.execute("DROP USER IF EXISTS segue_sql@'%'")
        cursor.execute("SHOW DATABASES")
        for (name,) in cursor.fetchall():
            if name not in SYSTEM:
                cursor.execute(f"DROP DATABASE `{name}`")
        for name in durable:
            cursor.execute(f"SET GLOBAL {name} = 1")


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Shop:
    """A deployment with the workload's tables on both sides."""

    def __init__(self, folder: Path, blue: Server, green: Server, **settings: Any) -> None:
        self.deployment = Deployment(folder, blue, green, **settings)
        self.blue, self.green = blue, green
        for server in (blue, green):
            workload.create_tables(server)

    def load(self, clients: int = 12, pause: float = 0.0) -> Load:
        return Load(self.deployment.port, clients, pause)

    def side(self, label: str) -> Server:
        return self.blue if label == "blue" else self.green

    def assert_equal(self) -> None:
        """Both sides hold the same once the standby has caught up."""
        active = self.deployment.segue("status")[1]["active"]
        wanted = workload.checksums(self.side(active))
        last: dict[str, int] = {}

        def same(_status: dict[str, Any]) -> bool:
            nonlocal last
            last = workload.checksums(self.side("green" if active == "blue" else "blue"))
            return last == wanted

        try:
            self.deployment.wait_for(same, 15.0)
        except Exception as error:
            raise AssertionError(f"active {wanted}, standby {last}: {error}") from error


class Load:
    """Busy clients in a process of their own, from construction to `stop`."""

    def __init__(self, port: int, clients: int, pause: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts/workload.py"), "--port", str(port), "--password", APP_PASSWORD,
             "--clients", str(clients), "--pause", str(pause)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def stop(self) -> dict[str, Any]:
        """What the clients were told."""
        out, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return dict(json.loads(out))

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def make_shop(pairs: Callable[[str], tuple[Server, Server]], tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    made: list[Shop] = []

    def make(flavour: str, *, start: bool = True, **settings: Any) -> Shop:
        blue, green = pairs(flavour)
        shop = Shop(tmp_path / "deployment", blue, green, **settings)
        made.append(shop)
        if start:
            shop.deployment.start()
        return shop

    yield make
    for shop in made:
        try:
            shop.deployment.stop()
        finally:
            shutil.rmtree(shop.deployment.folder, ignore_errors=True)
