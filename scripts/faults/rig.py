"""Two servers and a daemon behind fault proxies, with clients under way; kept over many runs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import clients
from faults.clock import Clock
from faults.history import History, Reader, anomalies, changes
from faults.tcp import FaultProxy, Loop
from lab import Deployment, Lab, LabError, Server
from lab.accounts import create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from lab.server import Flavour

OTHER = {"blue": "green", "green": "blue"}
STATE_DISK = 4
"""Megabytes of the state_dir's own file system, where mounting is allowed."""
DATA_DISK = 1500
BACK_LIMIT = 30.0
_CLIENTS = 6


@dataclass(frozen=True, slots=True)
class Via:
    """Where the daemon finds a server: behind its fault proxy."""

    host: str
    port: int


class Rig:
    """One deployment of a flavour. `close` leaves nothing behind."""

    def __init__(self, flavour: Flavour, folder: Path, *, disks: bool = True, clocks: bool = False) -> None:
        """With `clocks` servers and daemon have wall clocks of their own, which can jump."""
        self.flavour = flavour
        self.folder = folder
        self.mounts: list[Path] = []
        self.clocks: dict[str, Clock] = {}
        """Of blue, green and segue, each a machine of its own."""
        self._loop = Loop()
        self._lab = Lab(folder / "lab")
        self._clients: subprocess.Popen[str] | None = None
        try:
            self._make(disks=disks and os.geteuid() == 0, clocks=clocks)
        except BaseException:
            self.close()
            raise

    def _make(self, *, disks: bool, clocks: bool) -> None:
        options: dict[str, str | int] = {"read_only": 1}
        if self.flavour == "mysql":
            # As its data directory was made: InnoDB ends the server when the disk is full while it resizes a redo log file.
            options["innodb_redo_log_capacity"] = "100M"
        pair = self._lab.pair(self.flavour, self.flavour, buffer_pool="64M", options=options)
        self.servers: dict[str, Server] = dict(zip(("blue", "green"), pair, strict=True))
        if clocks:
            self.clocks = {name: Clock(self.folder, name) for name in (*self.servers, "segue")}
        for label, server in self.servers.items():
            create_accounts(server, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=("shop", "watch"))
            for statement in clients.TABLES:
                server.sql(statement.replace("EXISTS ", "EXISTS shop.", 1))
            rows = ", ".join(f"({n}, {clients.BALANCE})" for n in range(clients.ACCOUNTS))
            server.sql(f"INSERT INTO shop.accounts VALUES {rows}")
            server.sql("CREATE TABLE watch.t (n BIGINT)")
            server.sql("INSERT INTO watch.t VALUES (0)")
            server.env = self.clocks[label].env if clocks else {}
            if disks:
                self._own_disk(server)
            elif clocks:
                server.restart()
        self.links = {label: FaultProxy(self._loop, s.host, s.port) for label, s in self.servers.items()}
        self.deployment = Deployment(
            self.folder / "d", Via("127.0.0.1", self.links["blue"].port), Via("127.0.0.1", self.links["green"].port),  # type: ignore[arg-type] # address is all it takes
            accounts=False, drain_timeout=2.0, max_pause=4.0,
        )  # fmt: skip
        self.deployment.env = self.clocks["segue"].env if clocks else {}
        config = self.deployment.config
        config.write_text(config.read_text().replace('user = "segue"\n', 'user = "segue"\ntls = "disabled"\n'))
        self.front = FaultProxy(self._loop, "127.0.0.1", self.deployment.port)
        self.state_dir = self.deployment.folder / "state"
        if disks:
            self.state_dir.mkdir(mode=0o700)
            self._mount(self.state_dir, STATE_DISK)
        self.servers["blue"].sql("SET GLOBAL read_only = OFF")
        self.deployment.start(60.0)
        self._history_file = self.folder / "history.jsonl"
        self._reader = Reader(self._history_file)
        self.history = History()
        self._start_clients()

    def _own_disk(self, server: Server) -> None:
        """Move its data to a file system of its own, which can be filled."""
        server.stop()
        data, aside = server.folder / "data", server.folder / "data.aside"
        data.rename(aside)
        data.mkdir()
        self._mount(data, DATA_DISK)
        shutil.copytree(aside, data, dirs_exist_ok=True)
        shutil.rmtree(aside)
        server.start()

    def _mount(self, folder: Path, megabytes: int) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "segue-faults", str(folder)], check=True)
        self.mounts.append(folder)

    def close(self) -> None:
        if self._clients is not None:
            self._clients.kill()
        if hasattr(self, "deployment"):
            with contextlib.suppress(LabError):
                self.deployment.kill()
        for server in self._lab.servers:
            server.kill()
        for folder in reversed(self.mounts):
            subprocess.run(["umount", "-l", str(folder)], check=False)
        self._lab.destroy()
        self._loop.close()

    # -- clients -------------------------------------------------------------------------------------------

    def _start_clients(self) -> None:
        blue, green = (str(self.servers[s].port) for s in ("blue", "green"))
        self._clients = subprocess.Popen(
            [sys.executable, "-m", "faults.clients", str(self._history_file), str(self.front.port), str(_CLIENTS), blue, green],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )  # fmt: skip

    def _say(self, word: str) -> None:
        assert self._clients is not None
        assert self._clients.stdin is not None
        self._clients.stdin.write(word + "\n")
        self._clients.stdin.flush()

    def hold_clients(self) -> None:
        """Until nothing of theirs is under way."""
        self._say("hold")
        assert self._clients is not None
        assert self._clients.stdout is not None
        self._clients.stdout.readline()

    def release_clients(self) -> None:
        self._say("go")

    def acknowledged_since(self, moment: float) -> int:
        """Appends acknowledged since a monotonic second."""
        self._reader.take(self.history)
        return sum(1 for told in self.history.acknowledged_at.values() for ended, _ in told if ended > moment)

    # -- the daemon ----------------------------------------------------------------------------------------

    def ask(self, command: str, limit: float = 3.0, **args: Any) -> dict[str, Any]:
        """One admin command: the answer's document, `{"ok": False, ...}` also where nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(limit)
                sock.connect(str(self.deployment.socket))
                sock.sendall(json.dumps({"command": command, "args": args}).encode() + b"\n")
                with sock.makefile("rb") as lines:
                    for line in lines:
                        answer = json.loads(line)
                        if "progress" not in answer:
                            return dict(answer)
        except OSError as error:
            return {"ok": False, "error": f"no answer: {error}"}
        return {"ok": False, "error": "the daemon ended before it answered"}

    def status(self) -> dict[str, Any]:
        return dict(self.ask("status").get("value") or {})

    def start_daemon(self) -> None:
        """Start it if it does not run."""
        process = self.deployment.process
        if process is None or process.poll() is not None:
            self.deployment.launch()

    def pids(self, *names: str) -> list[int]:
        """Processes by name: control, replicate, proxy, blue, green."""
        found = []
        for name in names:
            if name in self.servers:
                if self.servers[name].running:
                    found.append(self.servers[name].pid)
            elif name == "control":
                assert self.deployment.process is not None
                found.append(self.deployment.process.pid)
            elif name in (children := self.deployment.pids()):
                found.append(children[name])
        return found

    def signal(self, number: int, *names: str) -> None:
        for pid in self.pids(*names):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    # -- the end of a run ----------------------------------------------------------------------------------

    def heal(self) -> None:
        """End every fault, and start what was killed, as a service manager would."""
        for link in (*self.links.values(), self.front):
            link.heal()
        for clock in self.clocks.values():
            clock.jump(0)
        for folder in self.mounts:
            (folder / "filler").unlink(missing_ok=True)
        self.signal(signal.SIGCONT, "blue", "green", "control", "replicate", "proxy")
        for server in self.servers.values():
            if not server.running:
                server.start()
        self.start_daemon()

    def wait_back(self, healed: float, limit: float = BACK_LIMIT) -> tuple[float, str]:
        """Seconds from `healed` until clients are served and replication streams, and what an operator was told
        where that did not happen within the limit."""
        status: dict[str, Any] = {}
        served = None
        while time.monotonic() < healed + limit:
            for server in self.servers.values():
                if not server.running:  # killed itself meanwhile, over a full disk for instance
                    server.start()
            self.start_daemon()
            status = self.status()
            if served is None and self.acknowledged_since(healed) >= 3 * _CLIENTS:
                served = time.monotonic()
            if served is not None and status.get("phase") == "steady" and status["replication"]["state"] == "streaming":
                return served - healed, ""
            time.sleep(0.05)
        replication = status.get("replication") or {}
        if status.get("active_refuses_writes"):
            return limit, str(status["active_refuses_writes"])
        if status.get("short_of_room"):
            return limit, "; ".join(status["short_of_room"].values())
        told = f"{replication.get('error') or ''} -> {replication.get('mend') or ''}" if replication.get("mend") else ""
        return limit, told or f"NOT BACK: served={served is not None} {json.dumps(status)[:600]}"

    def check(self, epoch_before: int) -> list[str]:
        """Hold the clients and compare everything; then forget the run."""
        self.hold_clients()
        try:
            self._reader.take(self.history)
            status = self._settled()
            active = status["active"]
            found = []
            for label in (active, OTHER[active]):
                server = self.servers[label]
                rows = server.sql("SELECT id, client, seq FROM shop.appends ORDER BY id")
                found += [f"{label}: {a}" for a in anomalies(self.history, rows)]
                total = int(server.sql("SELECT SUM(balance) FROM shop.accounts")[0][0])
                if total != clients.ACCOUNTS * clients.BALANCE:
                    found.append(f"{label}: the sum of all accounts is {total}")
                writable = not int(server.sql("SELECT @@GLOBAL.read_only + 0")[0][0])
                if writable != (label == active):
                    found.append(f"{label} is {'writable' if writable else 'read-only'} and {active} is active")
            provable = changes(self.history.watched)
            if provable > status["epoch"] - epoch_before:
                found.append(f"both sides accepted writes: the accepting side changed {provable} times in"
                             f" {status['epoch'] - epoch_before} switchovers")  # fmt: skip
            self._forget(active)
            return found
        finally:
            self.release_clients()

    def _settled(self) -> dict[str, Any]:
        """Status once the standby holds what the active side holds."""
        deadline = time.monotonic() + 20.0
        while True:
            status = self.status()
            if status.get("phase") == "steady":
                sums = [
                    [s.sql(f"CHECKSUM TABLE shop.{t}")[0][1] for t in ("accounts", "appends")] for s in self.servers.values()
                ]
                if sums[0] == sums[1] or time.monotonic() > deadline:
                    return status
            elif time.monotonic() > deadline:
                raise LabError(f"the daemon did not settle: {json.dumps(status)[:800]}")
            time.sleep(0.05)

    def _forget(self, active: str) -> None:
        """Empty the table of appends, so that runs stay small; what nobody knows may still come."""
        self.servers[active].sql("DELETE FROM shop.appends")
        unsure = {key: outcome for key, outcome in self.history.ops.items() if outcome == "info"}
        self.history = History(ops=unsure)


def background(function: Any, *args: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread
