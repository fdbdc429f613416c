"""A Segue daemon in front of a pair of lab servers: configuration, start, command line, stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lab.accounts import create_accounts
from lab.fetch import LabError
from lab.server import Server, die_with_owner, free_port
from segue.admin.client import ask
from segue.errors import SegueError

SEGUE_PASSWORD = "segue-lab-password"
APP_PASSWORD = "app-lab-password"


class Deployment:
    """`folder` holds configuration, state and logs; it is the caller's to remove."""

    def __init__(self, folder: Path, blue: Server, green: Server, *, schemas: tuple[str, ...] = ("shop",),
                 workers: int = 1, drain_timeout: float = 5.0, max_pause: float = 10.0, plugin: str = "",
                 replicate: str = "", proxy: str = "", accounts: bool = True) -> None:  # fmt: skip
        self.folder = folder
        self.blue = blue
        self.green = green
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.env: dict[str, str] = {}
        """Of its next start, besides ours."""
        self.log = folder / "segue.log"
        folder.mkdir(parents=True, exist_ok=True)
        if accounts:
            for server in (blue, green):
                create_accounts(server, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=schemas,
                                plugin=plugin)  # fmt: skip
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(SEGUE_PASSWORD + "\n")
        self.config = folder / "segue.toml"
        self.socket = folder / "segue.sock"
        sides = "".join(
            f'[{label}]\nhost = "{s.host}"\nport = {s.port}\nuser = "segue"\npassword_file = "{password}"\n'
            for label, s in (("blue", blue), ("green", green))
        )
        listed = ", ".join(f'"{s}"' for s in schemas)
        self.config.write_text(
            f'[deployment]\nname = "lab"\nstate_dir = "{folder / "state"}"\n{sides}'
            f"[replicate]\nschemas = [{listed}]\n{replicate}\n"
            f'[proxy]\nlisten = "127.0.0.1:{self.port}"\nworkers = {workers}\n'
            f"drain_timeout = {drain_timeout}\nmax_pause = {max_pause}\n{proxy}\n"
            f'[admin]\nsocket = "{self.socket}"\n'
        )

    def start(self, limit: float = 90.0) -> None:
        """Start the daemon and wait until its replication streams. Raises LabError with the end of its log."""
        self.launch()
        self.wait_for(lambda s: s["replication"]["state"] == "streaming", limit)

    def launch(self) -> None:
        """Start the daemon without waiting."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [_segue(), "run", "-c", str(self.config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=os.environ | self.env,
                preexec_fn=die_with_owner,  # noqa: PLW1509 - one system call, no lock taken
            )  # fmt: skip

    def wait_for(self, condition: Any, limit: float = 60.0) -> dict[str, Any]:
        """Status as soon as `condition(status)` holds."""
        deadline = time.monotonic() + limit
        status: dict[str, Any] = {}
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                break
            status = self.status()
            if status and condition(status):
                return status
            time.sleep(0.05)
        raise LabError(f"the daemon did not get there; status {json.dumps(status)[:3000]}; log: {self.tail()}")

    def status(self) -> dict[str, Any]:
        """What `segue status` prints, without the cost of starting it; empty while no daemon answers."""
        try:
            return ask(self.socket, "status")
        except SegueError:
            return {}

    def tail(self, lines: int = 30) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def segue(self, *words: str, check: bool = True, limit: float = 120.0) -> tuple[int, dict[str, Any]]:
        """Run one admin command with --json: exit code and document. Raises LabError when it fails and `check`."""
        done = subprocess.run(
            [_segue(), *words, "--socket", str(self.socket), "--json"],
            capture_output=True, text=True, timeout=limit, check=False,
        )  # fmt: skip
        value = json.loads(done.stdout) if done.stdout.strip() else {"stderr": done.stderr}
        if check and done.returncode:
            raise LabError(f"segue {' '.join(words)} ended with {done.returncode}: {value}; log: {self.tail()}")
        return done.returncode, value

    def pids(self) -> dict[str, int]:
        """Processes of the daemon's children by name."""
        found: dict[str, int] = {}
        assert self.process is not None
        listing = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
                                 capture_output=True, text=True, check=False).stdout  # fmt: skip
        for line in listing.splitlines():
            pid, _, args = line.strip().partition(" ")
            for name in ("replicate", "proxy"):
                if f"segue.{name}" in args:
                    found[name] = int(pid)
        return found

    def stop(self, limit: float = 20.0) -> int:
        """SIGTERM; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise LabError(f"the daemon did not stop; log: {self.tail()}") from None

    def kill(self) -> None:
        """SIGKILL to the control process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _segue() -> str:
    here = Path(sys.executable).parent / "segue"
    return str(here) if here.exists() else os.environ.get("SEGUE", "segue")
