"""After logins with every plugin, right and wrong, and a switchover: no password and no hash in anything we write or show."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql
import pytest

from lab import tool
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from lab.server import free_port

pytestmark = pytest.mark.servers
PLUGINS = {
    "mysql": {"caching": "caching_sha2_password", "sha256": "sha256_password", "native": "mysql_native_password"},
    "mariadb": {"native": "mysql_native_password", "ed": "ed25519", "old": "mysql_native_password"},
}


def accounts(shop: Any, flavour: str) -> dict[str, str]:
    """One account a plugin that this server has, on both sides: name and password."""
    made: dict[str, str] = {}
    for name, plugin in PLUGINS[flavour].items():
        password = f"Secret-{name}-{os.urandom(6).hex()}"
        how = f"IDENTIFIED WITH {plugin} BY '{password}'"
        if flavour == "mariadb":
            how = f"IDENTIFIED VIA {plugin} USING PASSWORD('{password}')"
        try:
            for side in (shop.blue, shop.green):
                if plugin == "ed25519":
                    _install(side)
                for statement in (f"CREATE USER {name}@'%%' {how}", f"GRANT ALL ON shop.* TO {name}@'%%'"):
                    side.sql(statement.replace("%%", "%"))
        except pymysql.err.MySQLError as error:
            print(flavour, "has no", plugin, error.args)
            continue
        made[name] = password
    return made


def _install(side: Any) -> None:
    rows = side.sql("SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'ed25519'")
    if not rows[0][0]:
        side.sql("INSTALL SONAME 'auth_ed25519'")


def traces(shop: Any, passwords: dict[str, str]) -> dict[str, bytes]:
    """What must be found nowhere: passwords, the servers' stored hashes, those made of one another, in each spelling."""
    found: dict[str, bytes] = {}
    for name, password in passwords.items():
        secrets = {"password": password.encode()}
        for method in ("sha1", "sha256"):
            once = hashlib.new(method, password.encode()).digest()
            secrets[f"{method} twice"] = hashlib.new(method, once).digest()
            secrets[method] = once
        column = "authentication_string"
        for number, (stored,) in enumerate(shop.blue.sql(f"SELECT {column} FROM mysql.user WHERE user = %s", (name,))):
            text = stored.encode() if isinstance(stored, str) else bytes(stored)
            if len(text) > 12:
                secrets[f"stored {number}"] = text
        for kind, secret in secrets.items():
            found[f"{name}: {kind}"] = secret
            found[f"{name}: {kind} in hex"] = secret.hex().encode()
            found[f"{name}: {kind} in HEX"] = secret.hex().upper().encode()
            found[f"{name}: {kind} in base64"] = base64.b64encode(secret)[:-4]
    return found


def processes(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listing.splitlines()]
    return [pid, *(child for child, parent in parents if parent == pid)]


def logins(shop: Any, passwords: dict[str, str]) -> str:
    """Each account with TLS and without, with its password and a wrong one that begins like it; errors' texts."""
    errors: list[str] = []
    base = {"host": "127.0.0.1", "port": shop.deployment.port, "database": "shop"}
    client = tool("mariadb")
    for name, password in passwords.items():
        for more in ({"ssl": {"check_hostname": False}}, {"ssl_disabled": True}):
            for given in (password, password + "x"):
                try:
                    conn = pymysql.connect(**base, user=name, password=given, **more)  # type: ignore[call-overload]
                    conn.ping()
                    conn.close()
                except (pymysql.err.MySQLError, RuntimeError) as error:
                    errors.append(str(error))
        done = subprocess.run(
            [*client.argv, "-h127.0.0.1", f"-P{base['port']}", f"-u{name}", "-N", "-e", "SELECT CURRENT_USER()"],
            capture_output=True, text=True, check=False, env=client.environment() | {"MYSQL_PWD": password},
        )  # fmt: skip
        errors.append(done.stderr)
        print(name, done.stdout.strip(), done.stderr.strip()[-200:])
    return "\n".join(errors)


def test_found_nowhere(make_shop: Callable[..., Any], flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_LOG_LEVEL", "debug")
    shop = make_shop(flavour, start=False)
    port = free_port()
    shop.deployment.config.write_text(shop.deployment.config.read_text() + f'http = "127.0.0.1:{port}"\n')
    shop.deployment.start()
    made = accounts(shop, flavour)
    try:
        assert len(made) >= 2, made
        passwords = made | {"app": APP_PASSWORD, "segue": SEGUE_PASSWORD, "leak": "Secret-leak-" + os.urandom(6).hex()}
        with shop.blue.connect(database="shop") as conn, conn.cursor() as cursor:  # both come by in the stream
            cursor.execute("CREATE USER leak@'%%' IDENTIFIED BY %s", (passwords["leak"],))
            cursor.execute("ALTER USER leak@'%%' IDENTIFIED BY %s", (passwords["leak"],))
        told = logins(shop, made | {"app": APP_PASSWORD})
        kept = pymysql.connect(host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD)
        assert shop.deployment.segue("switchover")[1]["outcome"] == "done"
        told += logins(shop, made)
        kept.close()
        unwanted = traces(shop, passwords)
        places: dict[str, bytes] = {"errors": told.encode(), "log": shop.deployment.log.read_bytes()}
        assert b'"level":"debug"' in places["log"], "this log is of no use here"
        for words in (("status",), ("check",)):
            places[" ".join(words)] = str(shop.deployment.segue(*words)[1]).encode()
        for page in ("", "status", "healthz", "metrics"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}") as answer:
                places[f"http /{page}"] = answer.read()
        running = processes(shop.deployment.process.pid)
        assert len(running) >= 3
        for pid in running:
            for name in ("cmdline", "environ", "comm", "limits"):
                places[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
            core = next(line for line in places[f"limits of {pid}"].decode().splitlines() if "core" in line)
            assert core.split()[4:6] == ["0", "0"], core
        for path in shop.deployment.folder.rglob("*"):
            if path.is_file() and path.name != "password":
                places[str(path.relative_to(shop.deployment.folder))] = path.read_bytes()
        hits = [(what, where) for what, secret in unwanted.items() for where, text in places.items() if secret in text]
        print(flavour, len(unwanted), "spellings looked for in", len(places), "places,", sum(map(len, places.values())), "bytes")
        assert not hits
    finally:
        for name in (*made, "leak"):
            for side in (shop.blue, shop.green):
                side.sql(f"DROP USER IF EXISTS {name}@'%'")


def test_no_core_of_any_process() -> None:
    """Neither as a file nor through a pipe, which a limit of 0 alone does not prevent."""
    code = (
        "import ctypes, resource; from segue.child import harden; harden();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "0 (0, 0)"
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 1, "only there"
