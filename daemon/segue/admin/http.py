"""The HTTP end of the daemon: status, health, metrics and a page, for reading only.

Enters: GET and HEAD, one request per connection. Leaves: documents made of the status. Whoever can connect may read,
so the address is loopback unless the configuration says otherwise, and a request must name a host that a page from
elsewhere cannot have (a DNS name that its owner points at us): an address, localhost, or one of `admin.http_hosts`.

Everything is bounded: connections, the request's size and time, the time for taking the answer, and how often the
daemon is asked for its status. A request's body is never read into anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson

from segue.admin import health, metrics, page
from segue.control import Control
from segue.errors import ConfigError
from segue.log import get_logger

log = get_logger("admin")
HEAD_LIMIT: Final = 8192
"""Bytes of a request's line and headers."""
MAX_CONNECTIONS: Final = 32
REQUEST_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
STATUS_SECONDS: Final = 0.25
"""An answer's status is no older than this; more requests than that share one."""
_LINGER: Final = (65_536, 1.0)
"""Bytes of a body, and seconds, that are still taken before the end: a reset would take the answer away."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHODS: Final = ("GET", "HEAD")


@dataclass(slots=True)
class Request:
    """A request's head; `headers` by lower-case name, each with all its values."""

    method: str
    path: str
    version: str
    headers: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Answer:
    status: HTTPStatus
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    more: tuple[tuple[str, str], ...] = ()

    def head(self) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}", f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}", "Connection: close", "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
            "Cross-Origin-Resource-Policy: same-origin", *(f"{k}: {v}" for k, v in self.more),
        ]  # fmt: skip
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


class BadRequest(Exception):  # noqa: N818 - names what it is
    """What the client is told instead."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.answer = Answer(status, text.encode() + b"\n")


def parse(head: bytes) -> Request:
    """A request's head without its empty line. Raises BadRequest."""
    try:
        first, *rest = head.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "not ASCII") from None
    words = first.split(" ")
    if len(words) != 3 or not _TOKEN.fullmatch(words[0]) or not words[2].startswith("HTTP/"):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "not a request line")
    request = Request(words[0], words[1].partition("?")[0], words[2])
    if request.version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 or 1.0")
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or not all(c == "\t" or " " <= c <= "~" for c in value):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "not a header line")
        request.headers.setdefault(name.lower(), []).append(value.strip(" \t"))
    return request


def host_of(value: str) -> str:
    """The name or address in HOST or HOST:PORT, in lower case and without a final dot; brackets of IPv6 are taken off."""
    value = value.strip().lower()
    if value.startswith("["):
        return value[1:].partition("]")[0]
    name, colon, _ = value.rpartition(":")
    return (name if colon else value).removesuffix(".")


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


class HttpServer:
    """Serves `control` on `address`, HOST:PORT."""

    def __init__(self, control: Control, address: str, hosts: Collection[str] = ()) -> None:
        self._control = control
        self._address = address
        self._own = host_of(address)
        self._names = frozenset({"localhost", self._own, *(host_of(h) for h in hosts)})
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._asking: asyncio.Task[dict[str, Any]] | None = None
        self._seen: tuple[float, dict[str, Any]] | None = None

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address cannot be used."""
        port = int(self._address.rpartition(":")[2])
        try:
            self._server = await asyncio.start_server(self._serve, self._own, port, limit=HEAD_LIMIT)
        except OSError as error:
            raise ConfigError(f"cannot listen on admin.http = {self._address}: {error.strerror or error}",
                              mend="Stop what uses that port, or give another one") from None  # fmt: skip
        if not is_loopback(self._own):
            log.warning("admin.http can be reached from elsewhere, and asks nobody for a password: it shows positions,"
                        " client addresses and user names to whoever connects", http=self._address)  # fmt: skip

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(self._open) >= MAX_CONNECTIONS:
                writer.write(_busy())
                return
            self._open.add(writer)
            with contextlib.suppress(OSError):
                request, answer = await self._answer(reader)
                body = b"" if request is not None and request.method == "HEAD" else answer.body
                await self._say(reader, writer, answer.head() + body)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[Request | None, Answer]:
        request: Request | None = None
        try:
            request = parse(await _head(reader))
            self._check(request)
            return request, await self._page(request.path)
        except BadRequest as error:
            log.debug("http", answer=error.answer.status.value, reason=str(error))
            return request, error.answer
        except asyncio.IncompleteReadError:
            raise ConnectionResetError from None
        except Exception:  # a bug in a page must not end the daemon
            log.exception("http request failed", path=request.path if request else None)
            return request, Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error, see the daemon's log\n")

    def _check(self, request: Request) -> None:
        """Raises BadRequest for what is not served."""
        hosts = request.headers.get("host", [])
        if len(hosts) != 1 and not (not hosts and request.version == "HTTP/1.0"):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "one Host header, please")
        host = host_of(hosts[0]) if hosts else self._own
        if host not in self._names and not is_address(host):
            raise BadRequest(HTTPStatus.MISDIRECTED_REQUEST,
                             "not a name of this daemon: use its address, or list the name in admin.http_hosts")  # fmt: skip
        if request.method not in _METHODS:
            error = BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "for reading only: GET or HEAD")
            error.answer.more = (("Allow", ", ".join(_METHODS)),)
            raise error

    async def _page(self, path: str) -> Answer:
        make = _PAGES.get(path)
        if make is None:
            raise BadRequest(HTTPStatus.NOT_FOUND, "there are /, /status, /healthz and /metrics")
        value = await self._status()
        return make(value, health.reasons(value, self._control.config.proxy.workers))

    async def _status(self) -> dict[str, Any]:
        """The status document; whoever asks at the same time, or soon after, gets the same."""
        if self._seen is not None and time.monotonic() - self._seen[0] < STATUS_SECONDS:
            return self._seen[1]
        if self._asking is None:
            self._asking = self._control.spawn(self._control.status())
            self._asking.add_done_callback(self._keep)
        return await asyncio.shield(self._asking)

    def _keep(self, done: asyncio.Task[dict[str, Any]]) -> None:
        self._asking = None
        if not done.cancelled() and done.exception() is None:
            self._seen = time.monotonic(), done.result()

    @staticmethod
    async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Write, and see that it arrives; a client that does not take it is cut."""
        size, seconds = _LINGER
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                writer.write(data)
                writer.write_eof()
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        while size > 0 and (more := await reader.read(4096)):
                            size -= len(more)
        except TimeoutError:
            writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """A request's head, in bounded size and time. Raises BadRequest; IncompleteReadError for who has gone."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except TimeoutError:
        raise BadRequest(HTTPStatus.REQUEST_TIMEOUT, f"the request took longer than {REQUEST_SECONDS:g} s") from None
    except asyncio.LimitOverrunError:
        text = f"more than {HEAD_LIMIT} bytes of headers"
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text) from None


def _busy() -> bytes:
    answer = Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"too many connections\n", more=(("Retry-After", "1"),))
    return answer.head() + answer.body


def _status_page(value: dict[str, Any], _ill: list[str]) -> Answer:
    return Answer(HTTPStatus.OK, orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str) + b"\n", "application/json")


def _health_page(_value: dict[str, Any], ill: list[str]) -> Answer:
    if not ill:
        return Answer(HTTPStatus.OK, b"ok\n")
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{reason}\n" for reason in ill).encode())


def _metrics_page(value: dict[str, Any], ill: list[str]) -> Answer:
    return Answer(HTTPStatus.OK, metrics.render(value, ill).encode(), metrics.CONTENT_TYPE)


def _html_page(value: dict[str, Any], ill: list[str]) -> Answer:
    more = (("Content-Security-Policy", page.POLICY), ("X-Frame-Options", "DENY"))
    return Answer(HTTPStatus.OK, page.render(value, ill).encode(), "text/html; charset=utf-8", more)


_PAGES: Final[dict[str, Callable[[dict[str, Any], list[str]], Answer]]] = {
    "/": _html_page, "/status": _status_page, "/healthz": _health_page, "/metrics": _metrics_page,
}  # fmt: skip
