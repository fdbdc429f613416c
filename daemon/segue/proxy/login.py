"""The login, relayed packet by packet between client and server, with TLS on neither, either or both hops.

Sequence numbers are counted on each hop by itself, since a TLS request on one hop only shifts them. A password
that a client sends in clear, trusting its TLS, never goes over a plain hop: it is sealed with the server's RSA key
there (caching_sha2_password's full authentication), or the login is refused.

On its way through, what is needed to make the same login on another server is learnt: for mysql_native_password the
nonce and the response; for caching_sha2_password the password, which a client is asked for (full authentication) the
first time a worker sees its account, if it has TLS or a driver that fetches RSA keys by itself. The key that clients
get is ours. Nothing is kept of a login that the server refuses.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from segue.proxy.credentials import Credentials, Secret
from segue.wire import auth
from segue.wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_SESSION_TRACK, CLIENT_SSL, ProtocolError
from segue.wire.framing import PacketCutter, error_payload, packet
from segue.wire.login import SSL_REQUEST_SIZE, Answer, ChangeUser, Greeting, is_ssl_request, switch_request
from segue.wire.proxyproto import looks_like_header
from segue.wire.reply import ReplyTracker

_LOGIN_LIMIT = 1 << 20
_FAST_AUTHENTICATED: Final = b"\x01\x03"
_FULL_AUTHENTICATION: Final = b"\x01\x04"
_REQUEST_KEY: Final = b"\x02"
_CLEAR_PLUGINS = frozenset({"mysql_clear_password", "sha256_password", "dialog", "pam"})
_FETCH_KEYS = frozenset({b"pymysql", b"asyncmy", b"aiomysql", b"Go-MySQL-Driver", b"Node-MySQL-2", b"mysqlnd"})
"""Drivers (by _client_name) that without TLS ask for the server's RSA key without being told to."""


class Hops(Protocol):
    """What a login does to its session."""

    client_tls: Any
    server_tls: Any
    connection_id: int

    @property
    def credentials(self) -> Credentials: ...
    @property
    def both_capabilities(self) -> tuple[int, int]: ...
    def to_client(self, data: bytes) -> None: ...
    def to_server(self, data: bytes) -> None: ...
    def start_client_tls(self, rest: bytes) -> None: ...
    def start_server_tls(self) -> None: ...
    def server_wants_tls(self, *, client_tls: bool) -> bool: ...
    def tls_offered(self) -> bool: ...
    def compression_offered(self) -> int: ...
    def logged_in(self, payload: bytes) -> None: ...
    def login_failed(self, payload: bytes = b"") -> None: ...


class Login:
    """One login, or one COM_CHANGE_USER, until the server's OK or ERR."""

    __slots__ = ("_answered", "_asked", "_client", "_client_next", "_full", "_greeting", "_hops", "_nonce", "_ok", "_ours",
                 "_password", "_plugin", "_response", "_sealing", "_server", "_server_next", "answer", "change",
                 "compression", "deprecate_eof", "secret", "tracking")  # fmt: skip

    def __init__(self, hops: Hops, greeting: Greeting | None = None) -> None:
        self._hops = hops
        self._client, self._server = PacketCutter(_LOGIN_LIMIT), PacketCutter(_LOGIN_LIMIT)
        self._greeting = greeting
        self._nonce, self._plugin = b"", ""
        self._response = b""
        """The client's last scramble."""
        self._password: bytes | None = None
        """What the client said its password is, with the final NUL."""
        self._answered = False
        self._client_next = self._server_next = 0
        self._full = False
        self._sealing = False
        self._asked = False
        """We, not the server, asked for full authentication; the server has nothing to hear of it."""
        self._ok = b""
        self._ours: Secret | None = None
        """What we answer the server with in the client's place."""
        self.answer: Answer | None = None
        self.change: ChangeUser | None = None
        self.compression = 0
        """The capabilities, of those for compression that we offered, that the client has taken up."""
        self.deprecate_eof = False
        self.tracking = False
        """The client wants session tracking for itself."""
        self.secret: Secret | None = None

    @classmethod
    def change_user(
        cls, hops: Hops, greeting: Greeting, payload: bytes, *, tracker: ReplyTracker, same_server: bool, secret: Secret | None
    ) -> Login:
        """The exchange of a COM_CHANGE_USER, which is sent. Its response counts only for the greeting's own server: on
        another one we answer ourselves if `secret` is what the client used, else the client is asked anew. (Not every
        client then takes the new nonce: libmariadb keeps to that of its greeting.)"""
        login = cls(hops, greeting)
        login.change = change = ChangeUser.parse(payload)
        login.deprecate_eof, login.tracking = tracker.deprecate_eof, not tracker.strip
        login._nonce, login._answered = greeting.nonce, True
        login._plugin = change.plugin.decode("ascii", "replace") or greeting.plugin
        login._response = change.response
        login._client_next = login._server_next = 1
        if not same_server:
            known = hops.credentials.find(login.user, login._plugin, login._nonce, login._response)
            if known is None and secret is not None and secret.fits(login._plugin, login._nonce, login._response):
                known = secret
            login._ours = known
        hops.to_server(packet(payload if same_server else change.forcing_switch(), 0))
        return login

    @property
    def greeting(self) -> Greeting | None:
        return self._greeting

    @property
    def client_next(self) -> int:
        """The sequence number of the next packet to the client."""
        return self._client_next

    @property
    def answered(self) -> bool:
        return self._answered

    @property
    def user(self) -> str:
        name = self.change.user if self.change else self.answer.user if self.answer else b""
        return name.decode("utf-8", "replace")

    def finish(self, payload: bytes) -> None:
        """The server's OK, when the session is ready for the client."""
        self._send_client(payload)

    # -- the server ------------------------------------------------------------------------------------------

    def from_server(self, data: bytes) -> None:
        """Raises ProtocolError when the server does not keep to the protocol."""
        for payload in self._server.feed(data):
            self._server_next = self._server.sequence + 1
            self._server_packet(payload)

    def _server_packet(self, payload: bytes) -> None:
        if not payload:
            raise ProtocolError("an empty packet during login")
        if self._greeting is None and payload[0] != 0xFF:
            self._greet(Greeting.parse(payload))
            return
        first = payload[0]
        if self._sealing and first == 0x01:
            self._sealing = False
            self._send_server(auth.seal(self._password or b"\0", self._nonce, payload[1:]))
        elif first == 0x00:
            if self._asked:
                self._ok = payload  # the client owes us its password
            else:
                self._accepted(payload)
        elif first == 0xFF:
            self._send_client(payload)
            self._hops.login_failed(payload)
        elif first == 0xFE:
            self._plugin, self._nonce = switch_request(payload)
            if self._ours is not None and (response := self._ours.response_to(self._plugin, self._nonce)) is not None:
                self._response = response
                self._send_server(response)
                return
            self._response = b""
            if self._clear_over_plain() and self._plugin in _CLEAR_PLUGINS:
                self._refuse(self._plugin)
            else:
                self._send_client(payload)
        elif self._ours is not None and self._plugin == auth.SHA2:
            if payload == _FULL_AUTHENTICATION:
                self._password = (self._ours.password or b"") + b"\0"
                self._give_password()
        elif payload == _FAST_AUTHENTICATED and self._plugin == auth.SHA2 and self._may_ask():
            self._asked = self._full = True
            self._send_client(_FULL_AUTHENTICATION)
        else:
            self._full = payload == _FULL_AUTHENTICATION and self._plugin == auth.SHA2
            self._send_client(payload)

    def _greet(self, greeting: Greeting) -> None:
        self._greeting = greeting
        self._nonce, self._plugin = greeting.nonce, greeting.plugin
        both, more = self._hops.both_capabilities
        self._send_client(
            greeting.masked(offer_tls=self._hops.tls_offered(), connection_id=self._hops.connection_id, both=both,
                            both_more=more, compression=self._hops.compression_offered())
        )  # fmt: skip

    def _may_ask(self) -> bool:
        """Is the password unknown, and may the client be asked for it without harm?"""
        user = self.user
        if self._hops.credentials.find(user, self._plugin, self._nonce, self._response) is not None:
            return False
        answer = self.answer
        return self._hops.client_tls is not None or (answer is not None and answer.client_name in _FETCH_KEYS)

    def _accepted(self, payload: bytes) -> None:
        self.secret = self._learn()
        self._password = None
        self._hops.logged_in(payload)

    def _learn(self) -> Secret | None:
        """What the server has just accepted, as far as it can be used again."""
        if self._ours is not None:
            return self._ours
        known, user = self._hops.credentials, self.user
        if not self._response and self._password is None:
            return known.add(user, Secret(password=b""))
        found = known.find(user, self._plugin, self._nonce, self._response)
        if found is not None:
            return found
        if self._password is not None:
            secret = Secret(password=self._password.removesuffix(b"\0"))
            if self._plugin != auth.SHA2 or secret.fits(self._plugin, self._nonce, self._response):
                return known.add(user, secret)
        known.not_learnt(user)
        if (self._plugin == auth.NATIVE and len(self._response) == 20) or self._plugin == auth.SHA2:
            # Another client may yet tell the password, or the account row its hash.
            return Secret(nonce=self._nonce, response=self._response)
        return None

    # -- the client ------------------------------------------------------------------------------------------

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

    def _answer(self, answer: Answer) -> None:
        if self._greeting is None:
            raise ProtocolError("an answer before the greeting")
        self._answered = True
        tls = self._hops.server_wants_tls(client_tls=self._hops.client_tls is not None)
        tls = tls and bool(self._greeting.capabilities & CLIENT_SSL)
        self.compression = answer.capabilities & self._hops.compression_offered()
        self.tracking = bool(answer.capabilities & CLIENT_SESSION_TRACK)
        answer = self.answer = answer.for_server(self._greeting, tls=tls)
        self._response = answer.response
        if answer.plugin:
            self._plugin = answer.plugin.decode("ascii", "replace")
        self.deprecate_eof = bool(answer.capabilities & CLIENT_DEPRECATE_EOF)
        payload = answer.payload()
        if tls:
            self._send_server(payload[:SSL_REQUEST_SIZE])
            self._hops.start_server_tls()
        if self._clear_over_plain() and self._plugin in _CLEAR_PLUGINS:
            self._refuse(self._plugin)
            return
        self._send_server(payload)

    def _client_packet(self, payload: bytes) -> None:
        if self._full:
            self._full_authentication(payload)
            return
        if self._plugin in (auth.SHA2, auth.NATIVE):
            self._response = payload
        elif self._plugin in _CLEAR_PLUGINS:
            self._password = payload
        self._send_server(payload)

    def _full_authentication(self, payload: bytes) -> None:
        """The client's password: in clear over its TLS, sealed with our key, or (against all advice) in clear."""
        if payload == _REQUEST_KEY and self._hops.client_tls is None:
            self._send_client(b"\x01" + self._hops.credentials.public_pem)
            return
        self._full = False
        sealed = self._hops.client_tls is None and len(payload) == self._hops.credentials.key.key_size // 8
        self._password = auth.unseal(payload, self._nonce, self._hops.credentials.key) if sealed else payload
        if self._asked:
            if self._ok:
                self._accepted(self._ok)
            self._asked = False
        else:
            self._give_password()

    def _give_password(self) -> None:
        """To the server, in clear over TLS, else sealed with its key."""
        if self._hops.server_tls is not None:
            self._send_server(self._password or b"\0")
        else:
            self._sealing = True
            self._send_server(_REQUEST_KEY)

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
