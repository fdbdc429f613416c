"""A session of our own on the target for one client: logged in as that client, kept until the client is given to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from segue.errors import SegueError
from segue.proxy.asking import Asking, Command, into, wire
from segue.proxy.credentials import Secret
from segue.proxy.loading import Loaded
from segue.proxy.tls import Backend, TlsPipe
from segue.wire import auth
from segue.wire.answers import Answer as Reply
from segue.wire.answers import Failed
from segue.wire.constants import (
    CLIENT_CONNECT_ATTRS,
    CLIENT_DEPRECATE_EOF,
    CLIENT_MYSQL,
    CLIENT_SSL,
    ProtocolError,
)
from segue.wire.framing import PacketCutter, packet
from segue.wire.login import SSL_REQUEST_SIZE, Answer, Greeting, switch_request

_LIMIT = 1 << 20
_OPTIONAL = CLIENT_SSL | CLIENT_CONNECT_ATTRS | CLIENT_MYSQL


class Unmovable(SegueError):  # noqa: N818 - names what it is
    """A session that cannot be given to the target; `message` is the reason."""


class Spare(asyncio.Protocol):
    """Raises Unmovable from `login` and `answers`; `lost` once the target has closed it."""

    def __init__(self, side: Backend, *, client_tls: bool) -> None:
        self.side = side
        self.loaded = Loaded()
        self.greeting: Greeting | None = None
        self.deprecate_eof = False
        self.lost = False
        self.transport: Any = None
        self.tls: TlsPipe | None = None
        self.write: Any = None
        self._client_tls = client_tls
        self._introduction = b""
        self._asking: Asking | None = None
        self._login: _TargetLogin | None = None
        self._future: asyncio.Future[Any] | None = None

    async def login(
        self, answer: Answer, secret: Secret, schema: bytes, limit: float, introduction: bytes = b""
    ) -> None:
        """Connect and log in as the client did."""
        self._introduction = introduction
        self.deprecate_eof = bool(answer.capabilities & CLIENT_DEPRECATE_EOF)
        self._login = _TargetLogin(self, answer, secret, schema)
        self._future = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(limit):
                await self.side.open(lambda: self)
                await self._future
        except (OSError, TimeoutError) as error:
            self.close()
            raise Unmovable(f"{self.side.name} cannot be reached: {error or 'no answer'}") from None
        except Unmovable:
            self.close()
            raise
        finally:
            self._login = self._future = None

    async def answers(self, commands: Sequence[Command], limit: float = 10.0) -> list[Reply]:
        """Run commands together."""
        if not commands:
            return []
        if self.lost:
            raise Unmovable(f"{self.side.name} closed the session that was prepared")
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._future = future
        self._asking = Asking(commands, into(future), deprecate_eof=self.deprecate_eof)
        self.write(wire(commands))
        try:
            async with asyncio.timeout(limit):
                return await future
        except TimeoutError:
            self.close()
            raise Unmovable(f"{self.side.name} gave no answer within {limit:g} s") from None
        finally:
            self._asking = self._future = None

    def send(self, commands: Sequence[Command]) -> None:
        """Commands that have no answer."""
        self.write(wire(commands))

    def use_tls(self) -> None:
        self.tls = self.side.tls_pipe(self.transport)
        self.write = self.tls.write

    def wants_tls(self, greeting: Greeting) -> bool:
        return self.side.wants_tls(client_tls=self._client_tls) and bool(greeting.capabilities & CLIENT_SSL)

    def done(self, problem: str = "") -> None:
        """The login has ended."""
        if self._future is not None and not self._future.done():
            if problem:
                self._future.set_exception(Unmovable(problem))
            else:
                self._future.set_result(None)

    def close(self) -> None:
        self.lost = True
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.write = transport.write
        if self._introduction:
            transport.write(self._introduction)

    def data_received(self, data: bytes) -> None:
        try:
            if self.tls is not None:
                data = self.tls.feed(data)
            if not data:
                return
            if self._login is not None:
                self._login.feed(data)
            elif self._asking is not None and self._asking.feed(data):
                self._asking.finish()
        except (ProtocolError, ssl.SSLError) as error:
            self.close()
            self.done(f"{self.side.name} broke the protocol: {error}")

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost = True
        self.done(f"{self.side.name} closed the connection")


class _TargetLogin:
    """The client's side of a login, with what was learnt."""

    def __init__(self, spare: Spare, answer: Answer, secret: Secret, schema: bytes) -> None:
        self._spare = spare
        self._answer = answer
        self._secret = secret
        self._schema = schema
        self._cutter = PacketCutter(_LIMIT)
        self._next = 0
        self._plugin, self._nonce = "", b""
        self._sealing = False

    def feed(self, data: bytes) -> None:
        for payload in self._cutter.feed(data):
            self._next = self._cutter.sequence + 1
            self._packet(payload or b"\xff\0\0")

    def _packet(self, payload: bytes) -> None:
        spare, first = self._spare, payload[0]
        if first == 0xFF:
            failed = Failed(int.from_bytes(payload[1:3], "little"), payload[9:].decode("utf-8", "replace"))
            spare.done(f"{spare.side.name} refuses its login: {failed.text} (error {failed.code})")
        elif spare.greeting is None:
            self._greeted(Greeting.parse(payload))
        elif first == 0x00:
            spare.done()
        elif first == 0xFE:
            self._plugin, self._nonce = switch_request(payload)
            self._respond()
        elif self._sealing:
            self._sealing = False
            self._send(auth.seal((self._secret.password or b"") + b"\0", self._nonce, payload[1:]))
        elif payload == b"\x01\x04" and self._plugin == auth.SHA2:
            if spare.tls is not None:
                self._send((self._secret.password or b"") + b"\0")
            else:
                self._sealing = True
                self._send(b"\x02")

    def _greeted(self, greeting: Greeting) -> None:
        spare = self._spare
        spare.greeting = greeting
        missing = self._answer.capabilities & ~greeting.capabilities & ~_OPTIONAL
        more = self._answer.more & ~greeting.more if not self._answer.capabilities & CLIENT_MYSQL else 0
        if missing or more:
            spare.done(f"it uses capabilities that {spare.side.name} has not (0x{missing:x}, 0x{more:x})")
            return
        tls = spare.wants_tls(greeting)
        answer = self._answer.for_server(greeting, tls=tls)
        self._plugin, self._nonce = greeting.plugin, greeting.nonce
        if self._secret.password is None or self._plugin not in (auth.SHA2, auth.NATIVE):
            self._plugin = auth.NATIVE
        response = self._response() or b""
        full = Answer(answer.capabilities, answer.max_packet, answer.charset, answer.more, answer.user, response,
                      self._schema, self._plugin.encode(), answer.attributes)  # fmt: skip
        payload = full.payload()
        if tls:
            self._send(payload[:SSL_REQUEST_SIZE])
            spare.use_tls()
        self._send(payload)

    def _respond(self) -> None:
        response = self._response()
        if response is None:
            self._spare.done("its password is not known here")
        else:
            self._send(response)

    def _response(self) -> bytes | None:
        """For the present plugin and nonce; None when the secret does not serve it."""
        secret = self._secret
        response = secret.response_to(self._plugin, self._nonce)
        if response is not None:
            return response
        if self._plugin == "mysql_clear_password" and secret.password is not None and self._spare.tls is not None:
            return secret.password + b"\0"
        return None

    def _send(self, payload: bytes) -> None:
        self._spare.write(packet(payload, self._next))
        self._next += 1


