"""TLS inside a protocol by memory buffers (ssl.SSLObject).

asyncio's start_tls cannot be used: MySQL's SSLRequest and the TLS ClientHello may arrive in one chunk, and what
was read before the upgrade would be lost.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from segue.config import Endpoint
from segue.proxy.limits import Address
from segue.sql import tls_context
from segue.wire.proxyproto import build

_READ = 1 << 16


class TlsPipe:
    """Plain bytes on one side, a transport with TLS records on the other."""

    __slots__ = ("_in", "_object", "_out", "_transport", "_waiting", "ready")

    def __init__(
        self, transport: Any, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None
    ) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=server_side, server_hostname=hostname)
        self._transport = transport
        self._waiting: list[bytes] = []
        self.ready = False
        if not server_side:
            self._handshake()

    def feed(self, data: bytes) -> bytes:
        """Records in, plain bytes out. Raises ssl.SSLError when the peer breaks TLS."""
        self._in.write(data)
        if not self.ready and not self._handshake():
            return b""
        first = self._read()
        parts = [first]
        while parts[-1] and (self._in.pending or self._object.pending()):  # a record in pieces, or several
            parts.append(self._read())
        self._flush()
        return first if len(parts) == 1 else b"".join(parts)

    def _read(self) -> bytes:
        """What one record holds, nothing when there is no whole one. Raises ssl.SSLError."""
        try:
            return self._object.read(_READ)
        except ssl.SSLWantReadError:
            return b""

    def write(self, data: bytes) -> None:
        if not self.ready:
            self._waiting.append(data)
            return
        self._object.write(data)
        self._flush()

    def _handshake(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self.ready = True
        for data in self._waiting:
            self._object.write(data)
        self._waiting.clear()
        self._flush()
        return True

    def _flush(self) -> None:
        if self._out.pending:
            self._transport.write(self._out.read())


class Backend:
    """One of the two servers as sessions reach it."""

    __slots__ = ("context", "endpoint", "name", "tracking")

    def __init__(self, message: dict[str, Any]) -> None:
        self.name = str(message["name"])
        self.endpoint = Endpoint.from_message(message)
        self.context = tls_context(self.endpoint)
        self.tracking = tracking_statement(str(message.get("tracked") or "*"))

    def wants_tls(self, *, client_tls: bool) -> bool:
        """`preferred` on this hop means: as the client's own hop, which is what it would have had directly."""
        if self.context is None:
            return False
        return client_tls if self.endpoint.tls == "preferred" else True

    def introduction(self, client: Address, local: Address) -> bytes:
        """What a new connection for this client says first: the PROXY header where the server wants it."""
        return build(client, local) if self.endpoint.proxy_protocol else b""

    async def open(self, factory: Any) -> Any:
        """Connect a protocol to the server. Raises OSError or TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10.0):
            return await loop.create_connection(factory, self.endpoint.host, self.endpoint.port)

    def tls_pipe(self, transport: Any) -> TlsPipe:
        """TLS over a connection to it, as configured."""
        assert self.context is not None
        host = self.endpoint.host if self.context.check_hostname else None
        return TlsPipe(transport, self.context, server_side=False, hostname=host)


def tracking_statement(variables: str) -> bytes:
    """What makes a server report changes of these system variables (comma-separated, or *) and of the schema.

    A list costs some 0.2 ms a login and nothing later. `*` makes MySQL report statement_id, and MariaDB last_gtid,
    with every write, which takes the write's reply off the fast path.
    """
    return f"SET session_track_system_variables='{variables}', session_track_schema=1".encode()
