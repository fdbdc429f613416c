"""The greeting and the answer to it: read as far as a relay needs, rewritten where a capability is not relayed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from segue.wire.constants import (
    CLIENT_CONNECT_ATTRS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_MYSQL,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SESSION_TRACK,
    CLIENT_SSL,
    MARIADB_NOT_RELAYED,
    NOT_RELAYED,
    ProtocolError,
)
from segue.wire.framing import lenenc

SSL_REQUEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Greeting:
    """A server's first packet (Protocol::HandshakeV10)."""

    payload: bytes
    version: str
    connection_id: int
    capabilities: int
    nonce: bytes
    plugin: str
    caps_at: int
    """Offset of the lower capability half."""

    @classmethod
    def parse(cls, payload: bytes) -> Greeting:
        """Raises ProtocolError for anything but a version 10 greeting."""
        if not payload or payload[0] != 10:
            raise ProtocolError("the server's greeting is not of protocol version 10")
        end = payload.find(b"\0", 1)
        at = end + 1 + 4 + 8 + 1
        if end < 0 or len(payload) < at + 18:
            raise ProtocolError("the server's greeting is cut short")
        low = int.from_bytes(payload[at : at + 2], "little")
        high = int.from_bytes(payload[at + 5 : at + 7], "little")
        capabilities = low | high << 16
        size = max(13, payload[at + 7] - 8) if capabilities & CLIENT_PLUGIN_AUTH else 13
        rest = payload[at + 18 :]
        nonce = payload[end + 5 : end + 13] + rest[: min(12, size)]
        plugin = rest[size:].split(b"\0")[0].decode("ascii", "replace")
        version = payload[1:end].decode("utf-8", "replace")
        connection_id = int.from_bytes(payload[end + 1 : end + 5], "little")
        return cls(payload, version, connection_id, capabilities, nonce, plugin, at)

    @property
    def extended(self) -> bool:
        """Whether MariaDB's extended capabilities stand in the reserved bytes."""
        return not self.capabilities & CLIENT_MYSQL

    @property
    def more(self) -> int:
        """MariaDB's extended capabilities."""
        if not self.extended:
            return 0
        return int.from_bytes(self.payload[self.caps_at + 14 : self.caps_at + 18], "little")

    def masked(self, *, offer_tls: bool, connection_id: int, both: int = -1, both_more: int = -1,
               compression: int = 0) -> bytes:  # fmt: skip
        """The greeting as a client may see it: our connection id, nothing offered that is not relayed or that the
        other side lacks (`both`), TLS and compression as we offer them."""
        caps = self.capabilities & both & ~NOT_RELAYED & ~CLIENT_SSL | compression
        if offer_tls:
            caps |= CLIENT_SSL
        out = bytearray(self.payload)
        at = self.caps_at
        out[at - 13 : at - 9] = connection_id.to_bytes(4, "little")
        out[at : at + 2] = (caps & 0xFFFF).to_bytes(2, "little")
        out[at + 5 : at + 7] = (caps >> 16).to_bytes(2, "little")
        if self.extended:
            more = self.more & both_more & ~MARIADB_NOT_RELAYED
            out[at + 14 : at + 18] = more.to_bytes(4, "little")
        return bytes(out)


def is_ssl_request(payload: bytes) -> bool:
    return len(payload) == SSL_REQUEST_SIZE and bool(int.from_bytes(payload[:4], "little") & CLIENT_SSL)


@dataclass(frozen=True, slots=True)
class Answer:
    """A client's answer to the greeting (Protocol::HandshakeResponse41)."""

    capabilities: int
    max_packet: int
    charset: int
    more: int
    """MariaDB's extended capabilities."""
    user: bytes
    response: bytes
    schema: bytes
    plugin: bytes
    attributes: bytes
    """Connection attributes with their length in front, empty without."""

    @classmethod
    def parse(cls, payload: bytes) -> Answer:
        """Raises ProtocolError for clients before MySQL 4.1 and for what is no answer."""
        if len(payload) < 33:
            raise ProtocolError("the client's answer to the greeting is cut short")
        capabilities = int.from_bytes(payload[:4], "little")
        if not capabilities & CLIENT_PROTOCOL_41:
            raise ProtocolError("clients before MySQL 4.1 are not served")
        user, pos = _zero_ended(payload, 32)
        if capabilities & CLIENT_PLUGIN_AUTH_LENENC:
            size, pos = lenenc(payload, pos)
        elif capabilities & CLIENT_SECURE_CONNECTION:
            size, pos = payload[pos] if pos < len(payload) else 0, pos + 1
        else:
            size = len(_zero_ended(payload, pos)[0])
        response, pos = payload[pos : pos + size], pos + size
        if not capabilities & (CLIENT_PLUGIN_AUTH_LENENC | CLIENT_SECURE_CONNECTION):
            pos += 1
        schema = plugin = attributes = b""
        if capabilities & CLIENT_CONNECT_WITH_DB:
            schema, pos = _zero_ended(payload, pos)
        if capabilities & CLIENT_PLUGIN_AUTH:
            plugin, pos = _zero_ended(payload, pos)
        if capabilities & CLIENT_CONNECT_ATTRS and pos < len(payload):
            size, after = lenenc(payload, pos)
            attributes = payload[pos : after + size]
        return cls(capabilities, int.from_bytes(payload[4:8], "little"), payload[8],
                   int.from_bytes(payload[28:32], "little"), user, response, schema, plugin, attributes)  # fmt: skip

    def for_server(self, greeting: Greeting, *, tls: bool) -> Answer:
        """The answer with only capabilities that the server offered and we relay, and with session tracking."""
        caps = self.capabilities & (greeting.capabilities | CLIENT_MYSQL) & ~NOT_RELAYED & ~CLIENT_SSL
        caps |= greeting.capabilities & CLIENT_SESSION_TRACK
        if tls:
            caps |= CLIENT_SSL
        more = self.more & greeting.more & ~MARIADB_NOT_RELAYED if not caps & CLIENT_MYSQL else 0
        return replace(self, capabilities=caps, more=more)

    def changed(self, change: ChangeUser) -> Answer:
        """The answer of a login that would lead to where this COM_CHANGE_USER did."""
        one_byte = len(change.charset) == 2 and not change.charset[1]
        return replace(self, user=change.user, charset=change.charset[0] if one_byte else self.charset, schema=change.schema,
                       attributes=change.attributes or self.attributes)  # fmt: skip

    def payload(self) -> bytes:
        """The packet's payload; its first SSL_REQUEST_SIZE bytes are the request for TLS."""
        caps = self.capabilities & ~(CLIENT_CONNECT_WITH_DB | CLIENT_CONNECT_ATTRS) | CLIENT_SECURE_CONNECTION
        size = len(self.response)
        if size > 250 and not caps & CLIENT_PLUGIN_AUTH_LENENC:
            raise ProtocolError("an authentication response of more than 250 bytes")
        length = bytes((size,)) if size <= 250 else b"\xfc" + size.to_bytes(2, "little")
        parts = [self.user, b"\0", length, self.response]
        if self.schema:
            caps |= CLIENT_CONNECT_WITH_DB
            parts += [self.schema, b"\0"]
        if caps & CLIENT_PLUGIN_AUTH:
            parts += [self.plugin, b"\0"]
        if self.attributes:
            caps |= CLIENT_CONNECT_ATTRS
            parts.append(self.attributes)
        head = caps.to_bytes(4, "little") + self.max_packet.to_bytes(4, "little") + bytes((self.charset,))
        return head + bytes(19) + self.more.to_bytes(4, "little") + b"".join(parts)

    @property
    def client_name(self) -> bytes:
        """The connection attribute _client_name, empty without."""
        mark = b"\x0c_client_name"
        at = self.attributes.find(mark)
        if at < 0 or at + len(mark) >= len(self.attributes):
            return b""
        size = self.attributes[at + len(mark)]
        return self.attributes[at + len(mark) + 1 :][:size]


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """COM_CHANGE_USER."""

    user: bytes
    response: bytes
    schema: bytes
    charset: bytes
    """Two bytes; empty, with all behind it, for clients that send none."""
    plugin: bytes
    attributes: bytes

    @classmethod
    def parse(cls, payload: bytes) -> ChangeUser:
        """Raises ProtocolError."""
        user, pos = _zero_ended(payload, 1)
        size, pos = payload[pos] if pos < len(payload) else 0, pos + 1
        response, pos = payload[pos : pos + size], pos + size
        schema, pos = _zero_ended(payload, pos)
        charset, pos = payload[pos : pos + 2], pos + 2
        plugin, pos = _zero_ended(payload, pos) if pos < len(payload) else (b"", pos)
        return cls(user, response, schema, charset, plugin, payload[pos:])

    def forcing_switch(self) -> bytes:
        """The command without a response, for a plugin that no account has: the server then says which it wants,
        with a nonce of its own. For a client that only knows the nonce of another server."""
        return b"".join((b"\x11", self.user, b"\0\0", self.schema, b"\0", self.charset or b"\x2d\0",
                         b"segue_none\0", self.attributes))  # fmt: skip


def _zero_ended(payload: bytes, pos: int) -> tuple[bytes, int]:
    end = payload.find(b"\0", pos)
    if end < 0:  # the last one may lack its end
        end = len(payload)
    return payload[pos:end], end + 1


def switch_request(payload: bytes) -> tuple[str, bytes]:
    """(plugin, nonce) of an AuthSwitchRequest."""
    name, _, data = payload[1:].partition(b"\0")
    return name.decode("ascii", "replace"), data.removesuffix(b"\0")
