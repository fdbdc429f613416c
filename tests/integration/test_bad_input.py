"""Each mistake gets one clear message, the right exit code, and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import Deployment, Lab, Server
from lab.deployment import SEGUE_PASSWORD
from lab.server import free_port

pytestmark = pytest.mark.servers
SEGUE = str(Path(sys.executable).parent / "segue")


def segue(*words: str, limit: float = 60.0) -> tuple[int, str]:
    """Exit code and everything printed."""
    done = subprocess.run([SEGUE, *words], capture_output=True, text=True, timeout=limit, check=False)
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    assert SEGUE_PASSWORD not in text
    return done.returncode, text


def refused(config: Path, *fragments: str) -> None:
    """`segue run` ends with 1 and says it."""
    code, text = segue("run", "-c", str(config))
    assert code == 1, text
    for fragment in fragments:
        assert fragment in text, text


@pytest.fixture
def setup(pairs: Callable[[str], tuple[Server, Server]], tmp_path: Path) -> Deployment:
    blue, green = pairs("mysql")
    return Deployment(tmp_path / "d", blue, green)


def changed(deployment: Deployment, old: str, new: str) -> Path:
    text = deployment.config.read_text()
    assert old in text
    deployment.config.write_text(text.replace(old, new))
    return deployment.config


def test_files(setup: Deployment, tmp_path: Path) -> None:
    refused(tmp_path / "absent.toml", "absent.toml", "-c FILE")
    good = setup.config.read_text()
    for old, new, fragments in (
        ("[deployment]", "[deployment", ("not valid TOML", "line 1")),
        ("[replicate]\n", "[replicate]\nscheams = 1\n", ("replicate.scheams: unknown key",)),
        ("workers = 1", 'workers = "many"', ("proxy.workers",)),
        ("port = ", "port = -", ("blue.port",)),
        ("[green]", "[green]\ntls = 'verify-ca'", ("green", "tls_ca")),
        ("[green]", "[green]\ntls_cert = '/nowhere.pem'\ntls_key = '/nowhere.key'", ("/nowhere.pem", "PEM")),
    ):
        refused(changed(setup, old, new), *fragments)
        setup.config.write_text(good)
    password = setup.folder / "password"
    password.chmod(0o644)
    refused(setup.config, "0644", f"chmod 600 {password}")
    password.chmod(0o600)
    refused(changed(setup, str(password), "/no/such/file"), "/no/such/file", "password_file")
    setup.config.write_text(good)


def test_places(setup: Deployment, tmp_path: Path) -> None:
    good = setup.config.read_text()
    taken = setup.blue.port
    refused(changed(setup, f'listen = "127.0.0.1:{setup.port}"', f'listen = "127.0.0.1:{taken}"'), str(taken), "listen")
    setup.config.write_text(good)
    (tmp_path / "file").write_text("")
    refused(changed(setup, f'state_dir = "{setup.folder}/state"', f'state_dir = "{tmp_path}/file/x"'), "state_dir", "file/x")
    setup.config.write_text(good)
    refused(changed(setup, f'socket = "{setup.socket}"', f'socket = "{tmp_path}/file/s"'), "admin.socket")
    setup.config.write_text(good)


def test_servers(setup: Deployment) -> None:
    good = setup.config.read_text()
    nowhere = free_port()
    refused(changed(setup, f"port = {setup.green.port}", f"port = {nowhere}"), f"green 127.0.0.1:{nowhere}", "Is the server up")
    setup.config.write_text(good)
    (setup.folder / "wrong").touch(mode=0o600)
    (setup.folder / "wrong").write_text("not the password")
    refused(changed(setup, str(setup.folder / "password"), str(setup.folder / "wrong")), "Access denied", "'segue'")
    setup.config.write_text(good)
    refused(changed(setup, f"port = {setup.green.port}", f"port = {setup.blue.port}"), "same server")
    setup.config.write_text(good)
    text = good.replace(f'[green]\nhost = "127.0.0.1"\nport = {setup.green.port}', f'[green]\nhost = "localhost"\nport = {setup.blue.port}')
    setup.config.write_text(text)
    refused(setup.config, "are the same server")
    setup.config.write_text(good)
    assert int(setup.green.sql("SELECT @@GLOBAL.read_only")[0][0]) == 0


def test_privileges(setup: Deployment) -> None:
    setup.blue.sql("REVOKE REPLICATION SLAVE ON *.* FROM segue@'%'")
    try:
        refused(setup.config, "REPLICATION SLAVE", "to read the binlog", "GRANT REPLICATION SLAVE ON *.* TO 'segue'@'%'")
    finally:
        setup.blue.sql("GRANT REPLICATION SLAVE ON *.* TO segue@'%'")


@pytest.mark.parametrize(
    ("variable", "bad", "good"),
    [("binlog_row_image", "MINIMAL", "FULL"), ("binlog_row_metadata", "MINIMAL", "FULL"), ("binlog_format", "STATEMENT", "ROW")],
)
def test_binlog_settings(setup: Deployment, variable: str, bad: str, good: str) -> None:
    if not setup.blue.sql(f"SHOW GLOBAL VARIABLES LIKE '{variable}'"):
        pytest.skip(f"this server has no {variable}")
    setup.blue.sql(f"SET GLOBAL {variable} = {bad}")
    try:
        refused(setup.config, f"{variable} is {bad}", f"SET GLOBAL {variable} = {good}")
    finally:
        setup.blue.sql(f"SET GLOBAL {variable} = {good}")


def test_server_id_and_binlog_off(lab: Lab, setup: Deployment, tmp_path: Path) -> None:
    number = int(setup.blue.sql("SELECT @@server_id")[0][0])
    own = int(setup.green.sql("SELECT @@server_id")[0][0])
    setup.green.sql(f"SET GLOBAL server_id = {number}")
    try:
        refused(setup.config, f"same server_id, {number}", "SET GLOBAL server_id")
    finally:
        setup.green.sql(f"SET GLOBAL server_id = {own}")
    silent = lab.start("mysql", "no-binlog", binlog=False)
    try:
        refused(Deployment(tmp_path / "silent", silent, setup.green).config, "log_bin is OFF", "--log-bin")
    finally:
        silent.destroy()
        lab.servers.remove(silent)


def test_same_server_uuid(lab: Lab, setup: Deployment, tmp_path: Path) -> None:
    """A copy of a data directory brings the uuid along."""
    clone = lab.start("mysql", "clone")
    try:
        clone.stop()
        shutil.copy(setup.blue.folder / "data/auto.cnf", clone.folder / "data/auto.cnf")
        clone.start()
        refused(Deployment(tmp_path / "clone", setup.blue, clone).config, "same server_uuid", "auto.cnf")
    finally:
        clone.destroy()
        lab.servers.remove(clone)


def test_a_second_daemon_and_no_daemon(setup: Deployment, tmp_path: Path) -> None:
    for words in (["status"], ["switchover"], ["pause"], ["resume"], ["rollback"], ["reload"]):
        code, text = segue(*words, "--socket", str(tmp_path / "none.sock"))
        assert code == 3, text
        assert "segue run" in text
    code, text = segue("status", "--socket", str(tmp_path / "none.sock"), "--json")
    assert code == 3
    assert segue("status")[0] == 2
    assert segue("no-such-command")[0] == 2
    assert segue("switchover", "--timeout", "soon", "--socket", "x")[0] == 2
    setup.start()
    try:
        second = tmp_path / "second.toml"
        second.write_text(setup.config.read_text().replace(str(setup.socket), str(tmp_path / "other.sock")))
        second.chmod(0o600)
        refused(second, "another segue", str(setup.process.pid if setup.process else 0))
        refused(setup.config, "another segue")
        assert oct(os.stat(setup.socket).st_mode & 0o777) == "0o660"
        assert json.loads(segue("status", "--socket", str(setup.socket), "--json")[1])["phase"] == "steady"
    finally:
        setup.stop()


def test_secrets_stay_in(setup: Deployment) -> None:
    """Not in command lines, environments, the log, status, or files that others may read."""
    setup.start()
    try:
        setup.segue("switchover")
        assert segue("status", "--socket", str(setup.socket), "--json")[0] == 0  # looks for the password itself
        assert setup.process is not None
        pids = [setup.process.pid, *setup.pids().values()]
        assert len(pids) == 3
        for pid in pids:
            for name in ("cmdline", "environ", "comm"):
                assert SEGUE_PASSWORD.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        assert SEGUE_PASSWORD not in setup.log.read_text()
        for path in setup.folder.rglob("*"):
            if path.is_file() and path.name != "password":
                assert SEGUE_PASSWORD.encode() not in path.read_bytes(), path
        assert oct((setup.folder / "state/proxy-key.pem").stat().st_mode & 0o777) == "0o600"
    finally:
        setup.stop()


def test_signals(setup: Deployment) -> None:
    """SIGUSR1 switches over, SIGUSR2 back, SIGHUP reloads, SIGTERM ends with 0."""
    setup.start()
    try:
        assert setup.process is not None
        setup.process.send_signal(signal.SIGUSR1)
        setup.wait_for(lambda s: s["active"] == "green" and s["replication"]["state"] == "streaming")
        setup.process.send_signal(signal.SIGUSR2)
        setup.wait_for(lambda s: s["active"] == "blue" and s["replication"]["state"] == "streaming")
        setup.config.write_text(setup.config.read_text().replace("max_pause = 10.0", "max_pause = 9.0"))
        setup.process.send_signal(signal.SIGHUP)
        setup.wait_for(lambda _s: '"changed":["proxy"]' in setup.log.read_text())
        setup.config.write_text(setup.config.read_text().replace("workers = 1", "workers = 2"))
        code, answer = setup.segue("reload", check=False)
        assert code == 1
        assert "proxy.workers" in answer["error"]
    finally:
        assert setup.stop() == 0
