"""Configuration files: every key of the contract is taken, each mistake is named by its key, secrets do not print."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.config import load
from segue.errors import ConfigError

GOOD = """
[deployment]
name = "shop"
state_dir = "/var/lib/segue"
[blue]
host = "10.0.0.1"
port = 3307
user = "segue"
password = "blue-secret"
tls = "required"
[green]
host = "10.0.0.2"
user = "segue"
password_env = "SEGUE_TEST_PASSWORD"
[replicate]
schemas = ["shop", "audit_*"]
exclude = ["shop.tmp_*"]
on_ddl = "stop"
start = "current"
[proxy]
listen = "0.0.0.0:6446"
workers = 2
drain_timeout = 5.0
max_pause = 10.0
max_clients = 500
connect_timeout = 5.0
idle_timeout = 3600.0
max_failed_logins = 20
failed_login_window = 30.0
proxy_protocol_from = ["10.1.0.0/24", "fd00::/8"]
[admin]
socket = "/run/segue/segue.sock"
http = "127.0.0.1:9646"
http_hosts = ["segue.example"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGUE_TEST_PASSWORD", "green-secret")
    path = tmp_path / "segue.toml"
    path.touch(mode=0o600)
    path.write_text(GOOD)
    return path


def test_every_key(file: Path) -> None:
    config = load(file)
    assert config.blue.message()["password"] == "blue-secret"
    assert config.green.message()["password"] == "green-secret"
    assert config.green.port == 3306
    for text in (repr(config), str(config), config.model_dump_json()):
        assert "secret" not in text.replace("SecretStr", "")


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        ("[proxy]", "[proxi]", "proxi: unknown key"),
        ("workers = 2", "workers = 0", "proxy.workers"),
        ("workers = 2", 'workers = "x"', "proxy.workers"),
        ("drain_timeout = 5.0", "drain_timeout = -1", "proxy.drain_timeout"),
        ('listen = "0.0.0.0:6446"', 'listen = "6446"', "HOST:PORT"),
        ("max_clients = 500", 'standby_listen = "0.0.0.0:6446"', "same address"),
        ("max_clients = 500", "max_clients = -1", "proxy.max_clients"),
        ("connect_timeout = 5.0", "connect_timeout = 0", "proxy.connect_timeout"),
        ("idle_timeout = 3600.0", "idle_timeout = -5", "proxy.idle_timeout"),
        ("max_failed_logins = 20", "max_failed_logins = 1.5", "proxy.max_failed_logins"),
        ("failed_login_window = 30.0", "failed_login_window = 0", "proxy.failed_login_window"),
        ('"fd00::/8"', '"10.1.0.1/24"', "CIDR"),
        ('"fd00::/8"', '"everybody"', "CIDR"),
        ('on_ddl = "stop"', 'on_ddl = "hope"', "replicate.on_ddl"),
        ('tls = "required"', 'tls = "maybe"', "blue.tls"),
        ('tls = "required"', 'tls = "verify-ca"', "tls_ca"),
        ('tls = "required"', 'password_env = "X"', "one of password"),
        ('schemas = ["shop", "audit_*"]', "schemas = []", "replicate.schemas"),
        ('schemas = ["shop", "audit_*"]', 'schemas = ["mysql"]', "never replicated"),
        ('host = "10.0.0.2"', 'host = "10.0.0.1"\nport = 3307', "same server"),
        ('name = "shop"', 'name = "a b"', "deployment.name"),
        ("SEGUE_TEST_PASSWORD", "SEGUE_TEST_ABSENT", "SEGUE_TEST_ABSENT"),
        ("[deployment]", "deployment]", "TOML"),
    ],
)
def test_mistakes(file: Path, old: str, new: str, fragment: str) -> None:
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert fragment in str(caught.value)
    assert caught.value.mend
    assert "secret" not in str(caught.value)


def test_a_file_with_a_password_is_for_its_owner(file: Path) -> None:
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load(file)


def test_the_sample_is_right(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "config/segue.toml").read_text()
    for side in ("blue", "green"):
        password = tmp_path / f"{side}.pw"
        password.touch(mode=0o600)
        password.write_text("x\n")
        text = text.replace(f"/etc/segue/{side}.pw", str(password))
    path = tmp_path / "segue.toml"
    path.write_text(text)
    shown = load(path)
    lines = []
    for line in text.splitlines():  # with every commented key switched on it must be right as well
        body = line.removeprefix("# ")
        optional = line.startswith("# ") and body.split(" ")[0].isidentifier() and " = " in body
        lines.append(body if optional else line)
    path.write_text("\n".join(lines))
    full = load(path)
    assert full.proxy.max_pause == shown.proxy.max_pause
