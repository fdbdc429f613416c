"""SQL connections to the servers: asyncmy behind a small class with Segue's errors and limits.

Connections are dedicated, and one that met an error in transport is closed: what was under way then is of
unknown outcome and the caller has to ask the server. Texts of ours never reach an error message, since a
BINLOG statement is megabytes and an ALTER USER may hold a secret.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import asyncmy
from asyncmy import errors as driver_errors

from segue.config import Endpoint
from segue.errors import ConfigError, ConnectionLost, ServerError

T = TypeVar("T")
CLIENT_FOUND_ROWS = 0x2
_PREPARED = 12
_LOST = frozenset({1040, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2055, 4031})


def tls_context(endpoint: Endpoint) -> ssl.SSLContext | None:
    """The TLS settings towards this server, with the meaning of the mysql client's --ssl-mode.

    Raises ConfigError when one of its files cannot be used.
    """
    if endpoint.tls == "disabled":
        return None
    # Not create_default_context: that reads the system's whole certificate store, 50 ms in a switchover's pause.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = endpoint.tls == "verify-identity"
    context.verify_mode = ssl.CERT_REQUIRED if endpoint.tls.startswith("verify") else ssl.CERT_NONE
    try:
        if endpoint.tls_ca:
            context.load_verify_locations(cafile=str(endpoint.tls_ca))
        if endpoint.tls_cert and endpoint.tls_key:
            context.load_cert_chain(str(endpoint.tls_cert), str(endpoint.tls_key))
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(f) for f in (endpoint.tls_ca, endpoint.tls_cert, endpoint.tls_key) if f)
        raise ConfigError(f"TLS towards {endpoint.host}:{endpoint.port}: {files} cannot be used: {error}",
                          mend="tls_ca, tls_cert and tls_key are PEM files that segue may read") from None  # fmt: skip
    return context


class Connection:
    """One connection; one statement at a time, further ones wait for their turn."""

    def __init__(self, raw: Any, where: str) -> None:
        self._raw = raw
        self._turn = asyncio.Lock()
        self._prepared: dict[str, Any] = {}
        self._packet_limit = 0
        self.where = where

    @property
    def id(self) -> int:
        """The server's connection id."""
        return int(self._raw.thread_id())

    @property
    def server_version(self) -> str:
        return str(self._raw.server_version)

    @property
    def closed(self) -> bool:
        return not self._raw.connected

    async def query(self, sql: str | bytes, *, timeout: float | None = 60.0) -> list[dict[str, Any]]:
        """Run one statement; its rows as dicts (empty for statements without rows).

        Raises ServerError with the server's code, ConnectionLost when the outcome is unknown.
        """
        results = await self.run(sql, timeout=timeout)
        return results[0]

    async def run(
        self, sql: str | bytes, *, timeout: float | None = 60.0, count: int = 1
    ) -> list[list[dict[str, Any]]]:
        """Run one or several statements in one packet; the rows of each. Stops at the first error.

        `count` is how many there are. It must be given with BINLOG: MySQL's reply to it does not say that more
        replies follow (seen on 9.7.4).
        """
        async with self._turn:
            return await self._run(sql, timeout, count, _rows)

    async def run_counted(self, sql: bytes, *, timeout: float | None = 60.0, count: int) -> list[tuple[int, int]]:
        """The same for statements without rows; (rows affected, warnings) of each."""
        async with self._turn:
            return await self._run(sql, timeout, count, lambda r: (int(r.affected_rows or 0), int(r.warning_count or 0)))

    async def _run(self, sql: str | bytes, timeout: float | None, count: int, take: Callable[[Any], T]) -> list[T]:
        raw = self._raw
        out: list[T] = []
        try:
            async with asyncio.timeout(timeout):
                await raw.query(sql)
                while True:
                    result = raw._result
                    out.append(take(result))
                    if not result.has_next and len(out) >= count:
                        return out
                    await raw.next_result()
        except TimeoutError:
            raw.close()
            raise ConnectionLost(2013, f"no answer within {timeout:g} s", where=self.where) from None
        except asyncio.CancelledError:
            raw.close()
            raise
        except (driver_errors.MySQLError, OSError, EOFError) as error:
            raise self._translate(error) from None

    async def warned(self, sql: str, *, timeout: float | None = 60.0) -> tuple[list[dict[str, Any]], int]:
        """Run one statement; its rows, and how many warnings the server has about it."""
        async with self._turn:
            results = await self._run(sql, timeout, 1, _rows)
            return results[0], int(self._raw._result.warning_count or 0)

    @property
    def takes_arrays(self) -> bool:
        """Whether a prepared statement can be given many rows of parameters at once (MariaDB)."""
        return bool(self._raw._bulk_supported)

    async def prepared(self, sql: str) -> int:
        """The server's number of this statement. Those that were asked for last are kept, a dozen of them.

        Raises the driver's errors, as `raw` does: it is for what is done there.
        """
        statement = self._prepared.pop(sql, None)
        if statement is None:
            if len(self._prepared) >= _PREPARED:
                await self._prepared.pop(next(iter(self._prepared))).close()
            statement = await self._raw.prepare(sql)
        self._prepared[sql] = statement
        return int(statement._statement_id)

    async def packet_limit(self) -> int:
        """The server's max_allowed_packet for this connection, in bytes."""
        self._packet_limit = self._packet_limit or int(await self.value("SELECT @@SESSION.max_allowed_packet"))
        return self._packet_limit

    @property
    def raw(self) -> Any:
        """The driver's connection, for what has no method here; nobody else may use it meanwhile."""
        return self._raw

    def translate(self, error: BaseException) -> ServerError:
        """An exception of the driver as ours; a connection that is lost by it is closed."""
        return self._translate(error)

    async def value(self, sql: str, *, timeout: float | None = 60.0) -> Any:
        """The first column of the first row, None without rows."""
        rows = await self.query(sql, timeout=timeout)
        return next(iter(rows[0].values())) if rows else None

    async def close(self) -> None:
        """Say goodbye; never raises."""
        try:
            async with asyncio.timeout(2.0):
                await self._raw.ensure_closed()
        except (driver_errors.MySQLError, OSError, TimeoutError):
            self._raw.close()

    def abandon(self) -> None:
        """Cut the connection without a goodbye."""
        self._raw.close()

    def _translate(self, error: BaseException) -> ServerError:
        code, text = _code_and_text(error)
        if code in _LOST or code < 1000 or not isinstance(error, driver_errors.MySQLError):
            self._raw.close()
            return ConnectionLost(code, text, where=self.where)
        return ServerError(code, text, where=self.where)


def _rows(result: Any) -> list[dict[str, Any]]:
    if result.description is None:
        return []
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.rows or ()]


def _code_and_text(error: BaseException) -> tuple[int, str]:
    args = error.args
    if len(args) >= 2 and isinstance(args[0], int):
        return args[0], str(args[1])
    return 2013, str(error) or type(error).__name__


def quote(value: str | bytes | float | None) -> str:
    """A value as an SQL literal that is right under any sql_mode and character set."""
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return repr(value)
    data = value.encode() if isinstance(value, str) else value
    if not data:
        return "''"
    return f"CONVERT(0x{data.hex()} USING utf8mb4)" if isinstance(value, str) else f"0x{data.hex()}"


def name(*parts: str) -> str:
    """Quote an identifier: ('shop', 'users') gives `shop`.`users`."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


async def connect(
    endpoint: Endpoint, *, where: str = "", autocommit: bool = True, timeout: float = 10.0, program: str = "segue",
    count_found: bool = False, local_infile: bool = False,
) -> Connection:
    """Connect and log in. `where` names the server in errors ("green 10.0.0.2:3306" for instance).

    With `count_found` an UPDATE's rows affected are those that it found, whether changed or not.

    Raises ConnectionLost when the server cannot be reached, ServerError when it refuses (1045: the account).
    """
    where = where or f"{endpoint.host}:{endpoint.port}"
    context = tls_context(endpoint)
    extra = {"client_flag": CLIENT_FOUND_ROWS if count_found else 0, "local_infile": local_infile}
    try:
        try:
            raw = await _connect_raw(endpoint, context, autocommit, timeout, program, extra)
        except (driver_errors.MySQLError, ssl.SSLError, EOFError) as error:
            if context is None or endpoint.tls != "preferred" or not _no_tls_there(error):
                raise
            raw = await _connect_raw(endpoint, None, autocommit, timeout, program, extra)
    except driver_errors.MySQLError as error:
        code, text = _code_and_text(error)
        kind = ConnectionLost if code in _LOST or code < 1000 else ServerError
        raise kind(code, text, where=where, mend=_login_mend(code, endpoint)) from None
    except (OSError, TimeoutError, EOFError) as error:
        text = f"cannot connect: {error or type(error).__name__}"
        raise ConnectionLost(2003, text, where=where, mend=_login_mend(2003, endpoint)) from None
    # Only a statement that means to send something may be asked for it (`copy.lane.load`), no other.
    raw._local_infile = False
    return Connection(raw, where)


async def _connect_raw(  # noqa: PLR0917 - connect's own arguments
    endpoint: Endpoint, context: ssl.SSLContext | None, autocommit: bool, timeout: float, program: str,
    extra: dict[str, Any],
) -> Any:
    password = endpoint.password.get_secret_value() if endpoint.password else ""
    task, raw = asyncio.current_task(), None
    cancelled = task.cancelling() if task is not None else 0
    try:
        async with asyncio.timeout(timeout):
            raw = await asyncmy.connect(
                host=endpoint.host, port=endpoint.port, user=endpoint.user, password=password,
                charset="utf8mb4", autocommit=autocommit, connect_timeout=timeout, ssl=context, program_name=program,
                **extra,
            )  # fmt: skip
        return raw
    except RuntimeError as error:  # what asyncmy makes of a peer that closes at once
        raise ConnectionResetError(f"the server closed the connection ({error})") from None
    finally:
        # asyncio.wait_for, by which the driver connects, loses a cancellation that comes with its result (Python 3.11).
        if task is not None and task.cancelling() > cancelled:
            if raw is not None:
                raw.close()
            raise asyncio.CancelledError


def _no_tls_there(error: BaseException) -> bool:
    """A server without TLS drops the connection, or answers in clear with an error packet, at the SSLRequest.

    A refused login (1045) is not that: trying it again would count as a second failure against the account.
    """
    code, text = _code_and_text(error)
    return not isinstance(error, driver_errors.MySQLError) or code in (2013, 2026, 1043) or "[SSL" in text


def _login_mend(code: int, endpoint: Endpoint) -> str:
    if code in (1045, 1698):
        return f"Check user '{endpoint.user}' and its password, and the account's host part"
    if code in (2002, 2003):
        return "Is the server up and the address right?"
    return ""
