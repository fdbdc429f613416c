"""The configuration file: TOML read into pydantic models, each error naming the key and what to do.

Enters: a path. Leaves: a `Config` whose passwords are resolved (file, environment or literal) and held in
`SecretStr`, so that they do not print. Nothing here connects to anything.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from segue.errors import ConfigError

TlsMode = Literal["disabled", "preferred", "required", "verify-ca", "verify-identity"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"'{value}' is not HOST:PORT (for example 0.0.0.0:6446)")
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(f"'{value}' is not a network in CIDR form (for example 10.1.0.0/16): {error}") from None


Address = Annotated[str, AfterValidator(_address)]
Cidr = Annotated[str, AfterValidator(_network)]


class Endpoint(_Strict):
    """One database server and the account that Segue uses there."""

    host: str = Field(min_length=1)
    port: int = Field(default=3306, gt=0, lt=65536)
    user: str = Field(min_length=1)
    password: SecretStr | None = None
    password_file: Path | None = None
    password_env: str | None = None
    tls: TlsMode = "preferred"
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxy_protocol: bool = False

    @model_validator(mode="after")
    def _one_password(self) -> Endpoint:
        given = [k for k in ("password", "password_file", "password_env") if getattr(self, k) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of password, password_file, password_env, not {' and '.join(given)}")
        if self.tls in ("verify-ca", "verify-identity") and self.tls_ca is None:
            raise ValueError(f"tls = \"{self.tls}\" needs tls_ca, the certificate authority's file")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        return self

    def message(self) -> dict[str, Any]:
        """The endpoint for another process of Segue (never for a log): the password is in it."""
        value: dict[str, Any] = self.model_dump(mode="json", exclude={"password", "password_file", "password_env"})
        value["password"] = self.password.get_secret_value() if self.password else ""
        return value

    @classmethod
    def from_message(cls, value: dict[str, Any]) -> Endpoint:
        known = {k: v for k, v in value.items() if k in cls.model_fields}
        return cls.model_validate(known)


class Deployment(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    state_dir: Path


class TableRule(_Strict):
    """How one table differs on the other side; `schema/mapping.py` says what follows from it, both ways."""

    source: str = Field(pattern=r"^[^.]+\.[^.]+$")
    """schema.table on blue, or schema.* for all tables of a schema."""
    target: str | None = Field(default=None, pattern=r"^[^.]+\.[^.]+$")
    """The same on green; the same name when absent."""
    rename: dict[str, str] = Field(default_factory=dict)
    ignore_columns: list[str] = Field(default_factory=list)
    """Columns of the source that are not carried to the target."""
    allow_lossy: list[str] = Field(default_factory=list)
    """Columns of the source whose values may lose something."""
    default: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Values for columns that only one side has."""


class Replicate(_Strict):
    schemas: list[str] = Field(min_length=1)
    exclude: list[str] = Field(default_factory=list)
    on_ddl: Literal["stop", "ignore", "apply"] = "stop"
    start: str = "current"
    table: list[TableRule] = Field(default_factory=list)

    @field_validator("schemas")
    @classmethod
    def _not_ours(cls, value: list[str]) -> list[str]:
        for name in value:
            if name.lower() in ("segue", "mysql", "sys", "information_schema", "performance_schema"):
                raise ValueError(f"schema '{name}' belongs to a server or to Segue and is never replicated")
        return value


class Seed(_Strict):
    """How `segue seed` fills an empty standby."""

    lanes: int = Field(default=4, ge=1, le=32)
    """Pairs of connections that copy at the same time."""
    chunk_bytes: int = Field(default=1_000_000, ge=10_000, le=64_000_000)
    """Bytes of lines per commit; a lane holds a few times as much in memory."""
    turn: float = Field(default=5.0, gt=0, le=600)
    """Seconds that the copy runs before the stream catches up."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Part of its time that a lane works; it rests for the others."""
    max_rate_mb: float | None = Field(default=None, gt=0)
    """Megabytes per second at most."""
    max_threads_running: int | None = Field(default=None, ge=1)
    """The copy waits while the source's Threads_running is above."""
    replicas: list[Address] = Field(default_factory=list)
    """Replicas of the source whose lag counts, with the source's account."""
    max_replica_lag: float = Field(default=10.0, ge=0)
    binlog: Literal["auto", "on", "off"] = "auto"
    """Whether the copy goes into the standby's binlog: auto is when somebody reads that."""


class Proxy(_Strict):
    listen: Address = "127.0.0.1:6446"
    standby_listen: Address | None = None
    workers: int = Field(default=1, ge=1, le=64)
    drain_timeout: float = Field(default=5.0, gt=0, le=3600)
    max_pause: float = Field(default=10.0, gt=0, le=3600)
    pinned: Literal["abort", "close"] = "abort"
    users_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_clients: int = Field(default=0, ge=0, le=10_000_000)
    connect_timeout: float = Field(default=10.0, gt=0, le=3600)
    idle_timeout: float = Field(default=0.0, ge=0, le=10_000_000)
    max_failed_logins: int = Field(default=0, ge=0, le=1_000_000)
    failed_login_window: float = Field(default=60.0, gt=0, le=86400)
    proxy_protocol_from: list[Cidr] = Field(default_factory=list, max_length=256)
    compression: list[Literal["zlib", "zstd"]] = ["zlib", "zstd"]

    @model_validator(mode="after")
    def _two_ports(self) -> Proxy:
        if self.standby_listen == self.listen:
            raise ValueError("standby_listen and listen are the same address; the standby needs a port of its own")
        return self

    def limits(self) -> dict[str, Any]:
        """What a worker's door keeps to, see `proxy.limits`."""
        keys = {"max_clients", "connect_timeout", "idle_timeout", "max_failed_logins", "failed_login_window",
                "proxy_protocol_from", "compression"}  # fmt: skip
        return self.model_dump(mode="json", include=keys)


class Verify(_Strict):
    """How both sides are compared; docs/verification.md."""

    parallel: int = Field(default=2, ge=1, le=16)
    """Tables compared at the same time, or chunks of a large one, each with one connection to each side."""
    continuous: bool = False
    """Compare all the time, so that a switchover knows."""
    load: float = Field(default=0.2, gt=0, le=1)
    """Part of the time that the continuous comparison of chunks is at work."""
    at_switchover: Literal["off", "report", "require"] = "report"
    """What the comparison inside the pause means: nothing, a line in the report, or no switchover without it."""
    pause_budget_ms: float = Field(default=200.0, ge=1, le=60_000)
    """Milliseconds of the pause that it may take."""

    @model_validator(mode="after")
    def _require_needs_continuous(self) -> Verify:
        if self.at_switchover == "require" and not self.continuous:
            raise ValueError('at_switchover = "require" needs continuous = true')
        return self


class Hooks(_Strict):
    """Executables that are called at points of a switchover; each gets `timeout` seconds."""

    before_check: Path | None = None
    before_pause: Path | None = None
    after_commit: Path | None = None
    after_switchover: Path | None = None
    on_abort: Path | None = None
    timeout: float = Field(default=10.0, gt=0, le=600)


class Admin(_Strict):
    socket: Path = Path("/run/segue/segue.sock")
    http: Address | None = None
    http_hosts: list[str] = Field(default_factory=list, max_length=64)
    """Names, beside addresses and localhost, by which requests may call the HTTP end."""


class Config(_Strict):
    deployment: Deployment
    blue: Endpoint
    green: Endpoint
    replicate: Replicate
    seed: Seed = Seed()
    proxy: Proxy = Proxy()
    verify: Verify = Verify()
    admin: Admin = Admin()
    hooks: Hooks = Hooks()


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Raises ConfigError that names the file, the key and the mend. Passwords are resolved here, so that a
    wrong file or variable is said at start and not at the first connection.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}", mend="Give its path with -c FILE"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text", mend="Save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", mend="Mend the line it names") from None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(path, error), mend="See config/segue.toml for every key") from None
    if "password" in raw.get("blue", {}) or "password" in raw.get("green", {}):
        _refuse_readable_by_others(path, "it holds a password")
    sides = {side: _with_password(side, getattr(config, side)) for side in ("blue", "green")}
    from segue.schema.mapping import Mapping  # it builds on this module

    try:
        Mapping.of(config.replicate)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", mend=error.mend) from None
    if (config.blue.host, config.blue.port) == (config.green.host, config.green.port):
        raise ConfigError(
            f"{path}: blue and green are the same server, {config.blue.host}:{config.blue.port}",
            mend="Give green its own server",
        )
    return config.model_copy(update=sides)


def _explain(path: Path, error: ValidationError) -> str:
    """One line per problem, in the file's own words."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(str(part) for part in problem["loc"]) or "(top)"
        kind = problem["type"]
        if kind == "extra_forbidden":
            lines.append(f"{key}: unknown key")
        elif kind == "missing":
            lines.append(f"{key}: missing")
        else:
            lines.append(f"{key}: {problem['msg'].removeprefix('Value error, ')}")
    return f"{path}: " + "; ".join(lines)


def _refuse_readable_by_others(path: Path, why: str) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"{path} can be read by others (mode {mode:04o}) and {why}", mend=f"Run: chmod 600 {path}"
        )


def _with_password(side: str, endpoint: Endpoint) -> Endpoint:
    if endpoint.password_file is not None:
        path = endpoint.password_file
        try:
            _refuse_readable_by_others(path, f"is {side}.password_file")
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigError(
                f"cannot read {side}.password_file {path}: {error.strerror}",
                mend="Create it with the password as its only line, mode 0600",
            ) from None
        return endpoint.model_copy(update={"password": SecretStr(text), "password_file": None})
    if endpoint.password_env is not None:
        value = os.environ.get(endpoint.password_env)
        if value is None:
            raise ConfigError(
                f"{side}.password_env names {endpoint.password_env}, which is not set",
                mend=f"Export {endpoint.password_env} for segue run",
            )
        return endpoint.model_copy(update={"password": SecretStr(value), "password_env": None})
    return endpoint
