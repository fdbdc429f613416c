"""What clients logged in with, kept in this process's memory only, so that the same logins can be made on the target.

Never logged, never sent anywhere but to a server as its authentication asks. Core dumps are off (`child.harden`).
"""

from __future__ import annotations

import hmac
import time

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from segue.wire import auth

_PER_USER = 16
_STRANGERS = 256
_STRANGER_SECONDS = 600.0


class Secret:
    """One account's: its password; or SHA1 of it; or one login's proof, from which the account row gives SHA1."""

    __slots__ = ("nonce", "password", "response", "stage1")

    def __init__(self, *, password: bytes | None = None, nonce: bytes = b"", response: bytes = b"") -> None:
        self.password = password
        self.nonce, self.response = nonce, response
        self.stage1 = auth.stage1_of(password) if password is not None else None

    def __repr__(self) -> str:
        return "Secret()"

    def derive(self, stage2: bytes) -> bool:
        """Make SHA1(password) of the account row's double hash, if this login was made with that."""
        if self.stage1 is None:
            self.stage1 = auth.stage1_from(self.response, self.nonce, stage2)
        return self.stage1 is not None

    def response_to(self, plugin: str, nonce: bytes) -> bytes | None:
        """What a client with this secret answers; None when it does not serve the plugin."""
        if self.password == b"":
            return b""
        if plugin == auth.NATIVE and self.stage1 is not None:
            return auth.native_response(self.stage1, nonce)
        if plugin == auth.SHA2 and self.password is not None:
            return auth.sha2_response(self.password, nonce)
        return None

    def fits(self, plugin: str, nonce: bytes, response: bytes) -> bool:
        """Was this response made with this secret?"""
        if plugin == auth.SHA2:
            return bool(response) and self.password is not None and hmac.compare_digest(
                auth.sha2_response(self.password, nonce), response)  # fmt: skip
        if self.stage1 is None or len(response) != 20:
            return False
        return hmac.compare_digest(auth.native_response(self.stage1, nonce), response)


class Credentials:
    """All that this worker has learnt."""

    def __init__(self) -> None:
        self._known: dict[str, list[Secret]] = {}
        self._strangers: dict[str, float] = {}
        self._key: rsa.RSAPrivateKey | None = None

    @property
    def key(self) -> rsa.RSAPrivateKey:
        """Ours, for clients without TLS; made at first need."""
        if self._key is None:
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._key

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def not_learnt(self, user: str) -> None:
        """A server has accepted a login of this user that taught nothing."""
        self._strangers.pop(user, None)
        self._strangers[user] = time.monotonic()
        while len(self._strangers) > _STRANGERS:
            del self._strangers[next(iter(self._strangers))]

    def strangers(self) -> list[str]:
        """Users who came lately without teaching anything: they may come again at any moment, one in a move too."""
        since = time.monotonic() - _STRANGER_SECONDS
        return sorted(user for user, at in self._strangers.items() if at > since)

    def find(self, user: str, plugin: str, nonce: bytes, response: bytes) -> Secret | None:
        return next((s for s in self._known.get(user, ()) if s.fits(plugin, nonce, response)), None)

    def add(self, user: str, secret: Secret) -> Secret:
        """Keep a secret that a server has just accepted; the oldest of very many of one user goes."""
        self._strangers.pop(user, None)
        known = self._known.setdefault(user, [])
        if secret.password is not None:
            for one in known:
                if one.password == secret.password:
                    return one
        known.append(secret)
        del known[:-_PER_USER]
        return secret
