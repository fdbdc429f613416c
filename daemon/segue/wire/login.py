"""The greeting and the answer to it: read as far as a relay needs, rewritten where a capability is not relayed."""

from __future__ import annotations

from dataclasses import dataclass

from segue.wire.constants import (
    CLIENT_MYSQL,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_SSL,
    MARIADB_NOT_RELAYED,
    NOT_RELAYED,
    ProtocolError,
)

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

    def masked(self, *, offer_tls: bool) -> bytes:
        """The greeting as a client may see it: nothing offered that is not relayed, TLS as we offer it."""
        caps = self.capabilities & ~NOT_RELAYED & ~CLIENT_SSL
        if offer_tls:
            caps |= CLIENT_SSL
        out = bytearray(self.payload)
        at = self.caps_at
        out[at : at + 2] = (caps & 0xFFFF).to_bytes(2, "little")
        out[at + 5 : at + 7] = (caps >> 16).to_bytes(2, "little")
        if self.extended:
            more = int.from_bytes(out[at + 14 : at + 18], "little") & ~MARIADB_NOT_RELAYED
            out[at + 14 : at + 18] = more.to_bytes(4, "little")
        return bytes(out)


def is_ssl_request(payload: bytes) -> bool:
    return len(payload) == SSL_REQUEST_SIZE and bool(int.from_bytes(payload[:4], "little") & CLIENT_SSL)


@dataclass(frozen=True, slots=True)
class Answer:
    """A client's answer to the greeting (Protocol::HandshakeResponse41), as far as it matters here."""

    payload: bytes
    capabilities: int
    user: str

    @classmethod
    def parse(cls, payload: bytes) -> Answer:
        """Raises ProtocolError for clients before MySQL 4.1 and for what is no answer."""
        if len(payload) < 33:
            raise ProtocolError("the client's answer to the greeting is cut short")
        capabilities = int.from_bytes(payload[:4], "little")
        if not capabilities & CLIENT_PROTOCOL_41:
            raise ProtocolError("clients before MySQL 4.1 are not served")
        user = payload[32:].split(b"\0")[0].decode("utf-8", "replace")
        return cls(payload, capabilities, user)

    def for_server(self, greeting: Greeting, *, tls: bool) -> bytes:
        """The answer with only capabilities that the server offered and we relay."""
        caps = self.capabilities & (greeting.capabilities | CLIENT_MYSQL) & ~NOT_RELAYED & ~CLIENT_SSL
        if tls:
            caps |= CLIENT_SSL
        out = bytearray(self.payload)
        out[:4] = caps.to_bytes(4, "little")
        if greeting.extended and not caps & CLIENT_MYSQL:
            more = int.from_bytes(out[28:32], "little") & ~MARIADB_NOT_RELAYED
            out[28:32] = more.to_bytes(4, "little")
        return bytes(out)


def switch_request(payload: bytes) -> tuple[str, bytes]:
    """(plugin, nonce) of an AuthSwitchRequest."""
    name, _, data = payload[1:].partition(b"\0")
    return name.decode("ascii", "replace"), data.removesuffix(b"\0")



