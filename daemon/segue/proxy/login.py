"""The login, relayed packet by packet between client and server, with TLS on neither, either or both hops.

Sequence numbers are counted on each hop by itself, since a TLS request on one hop only shifts them. A password
that a client sends in clear, trusting its TLS, never goes over a plain hop: it is sealed with the server's RSA key
there (caching_sha2_password's full authentication), or the login is refused.
"""

from __future__ import annotations

from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from segue.wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_SSL, ProtocolError
from segue.wire.framing import PacketCutter, error_payload, packet
from segue.wire.login import Answer, Greeting, is_ssl_request, switch_request
from segue.wire.proxyproto import looks_like_header

_LOGIN_LIMIT = 1 << 20
_FULL_AUTHENTICATION = b"\x01\x04"
_REQUEST_KEY = b"\x02"
_CLEAR_PLUGINS = frozenset({"mysql_clear_password", "sha256_password", "dialog", "pam"})


class Hops(Protocol):
    """What a login does to its session."""

    client_tls: Any
    server_tls: Any

    def to_client(self, data: bytes) -> None: ...
    def to_server(self, data: bytes) -> None: ...
    def start_client_tls(self, rest: bytes) -> None: ...
    def start_server_tls(self) -> None: ...
    def server_wants_tls(self, *, client_tls: bool) -> bool: ...
    def tls_offered(self) -> bool: ...
    def logged_in(self, payload: bytes, user: str, *, deprecate_eof: bool) -> None: ...
    def login_failed(self, payload: bytes = b"") -> None: ...


class Login:
    """One login, or one COM_CHANGE_USER, until the server's OK or ERR."""

    __slots__ = ("_answered", "_client", "_client_next", "_deprecate_eof", "_full", "_greeting", "_hops", "_nonce", "_plugin",
                 "_sealing", "_secret", "_server", "_server_next", "user")  # fmt: skip

    def __init__(self, hops: Hops, greeting: Greeting | None = None, *, deprecate_eof: bool = False) -> None:
        self._hops = hops
        self._client, self._server = PacketCutter(_LOGIN_LIMIT), PacketCutter(_LOGIN_LIMIT)
        self._greeting = greeting
        self._nonce, self._plugin = b"", ""
        self._answered = False
        self._client_next = self._server_next = 0
        self._deprecate_eof = deprecate_eof
        self._full = False
        self._sealing = False
        self._secret = b""
        self.user = ""

    @classmethod
    def change_user(cls, hops: Hops, greeting: Greeting, *, deprecate_eof: bool) -> Login:
        """The exchange behind a COM_CHANGE_USER that was just sent."""
        login = cls(hops, greeting, deprecate_eof=deprecate_eof)
        login._nonce, login._plugin, login._answered = greeting.nonce, greeting.plugin, True
        login._client_next = login._server_next = 1
        return login

    @property
    def greeting(self) -> Greeting | None:
        return self._greeting

    @property
    def client_next(self) -> int:
        """The sequence number of the next packet to the client."""
        return self._client_next

    def from_server(self, data: bytes) -> None:
        """Raises ProtocolError when the server does not keep to the protocol."""
        for payload in self._server.feed(data):
            self._server_next = self._server.sequence + 1
            self._server_packet(payload)

    def from_client(self, data: bytes) -> None:
        """Raises ProtocolError when the client does not keep to the protocol."""
        if not self._answered and looks_like_header(data):
            raise ProtocolError("a PROXY header from an address that proxy.proxy_protocol_from does not list")
        for payload in self._client.feed(data):
            self._client_next = self._client.sequence + 1
            if self._answered:
                self._client_packet(payload)
            elif is_ssl_request(payload) and self._hops.client_tls is None and self._hops.tls_offered():
                rest, self._client = self._client.rest, PacketCutter(_LOGIN_LIMIT)
                self._hops.start_client_tls(rest)
                return
            else:
                self._answer(Answer.parse(payload))

    def _server_packet(self, payload: bytes) -> None:
        if not payload:
            raise ProtocolError("an empty packet during login")
        if self._greeting is None and payload[0] != 0xFF:
            self._greeting = Greeting.parse(payload)
            self._nonce, self._plugin = self._greeting.nonce, self._greeting.plugin
            self._send_client(self._greeting.masked(offer_tls=self._hops.tls_offered()))
            return
        first = payload[0]
        if self._sealing and first == 0x01:
            self._sealing = False
            self._send_server(seal(self._secret, self._nonce, payload[1:]))
            self._secret = b""
            return
        self._full = payload == _FULL_AUTHENTICATION and self._plugin == "caching_sha2_password"
        if first == 0xFE:
            self._plugin, self._nonce = switch_request(payload)
            if self._clear_over_plain() and self._plugin in _CLEAR_PLUGINS:
                self._refuse(self._plugin)
                return
        self._send_client(payload)
        if first == 0x00:
            self._hops.logged_in(payload, self.user, deprecate_eof=self._deprecate_eof)
        elif first == 0xFF:
            self._hops.login_failed(payload)

    def _answer(self, answer: Answer) -> None:
        if self._greeting is None:
            raise ProtocolError("an answer before the greeting")
        self._answered = True
        self.user = answer.user
        tls = self._hops.server_wants_tls(client_tls=self._hops.client_tls is not None)
        tls = tls and bool(self._greeting.capabilities & CLIENT_SSL)
        payload = answer.for_server(self._greeting, tls=tls)
        self._deprecate_eof = bool(int.from_bytes(payload[:4], "little") & CLIENT_DEPRECATE_EOF)
        if tls:
            self._send_server(payload[:32])
            self._hops.start_server_tls()
        if self._clear_over_plain() and self._plugin in _CLEAR_PLUGINS:
            self._refuse(self._plugin)
            return
        self._send_server(payload)

    def _client_packet(self, payload: bytes) -> None:
        if self._full and self._clear_over_plain() and payload != _REQUEST_KEY:
            # Asked for full authentication, a client sends the password itself over its TLS.
            self._full = False
            self._sealing, self._secret = True, payload
            self._send_server(_REQUEST_KEY)
        else:
            self._send_server(payload)

    def _clear_over_plain(self) -> bool:
        return self._hops.client_tls is not None and self._hops.server_tls is None

    def _refuse(self, plugin: str) -> None:
        text = f'segue: {plugin} would send the password in clear to the server; set tls = "required" for it'
        self._send_client(error_payload(1045, "28000", text))
        self._hops.login_failed()

    def _send_client(self, payload: bytes) -> None:
        self._hops.to_client(packet(payload, self._client_next))
        self._client_next += 1

    def _send_server(self, payload: bytes) -> None:
        self._hops.to_server(packet(payload, self._server_next))
        self._server_next += 1


def seal(secret: bytes, nonce: bytes, pem: bytes) -> bytes:
    """The password for caching_sha2_password without TLS: XOR with the nonce, RSA-OAEP with SHA-1.

    Source: MySQL documentation, "Caching SHA-2 Pluggable Authentication". Raises ProtocolError for a bad key.
    """
    nonce = nonce[:20]
    if len(nonce) < 20:
        raise ProtocolError("the server's nonce is too short")
    mixed = bytes(b ^ nonce[i % len(nonce)] for i, b in enumerate(secret))
    try:
        key = serialization.load_pem_public_key(pem.rstrip(b"\0"))
    except (ValueError, UnsupportedAlgorithm):
        raise ProtocolError("the server's RSA key cannot be read") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ProtocolError("the server's key is not an RSA key")
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303 - the protocol says so
    return key.encrypt(mixed, oaep)
