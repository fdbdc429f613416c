"""The arithmetic of logging in. Pure; nothing here keeps anything.

Source: MySQL documentation, "Native Authentication" and "Caching_sha2_password information".
"""

from __future__ import annotations

import hashlib
from itertools import cycle
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from segue.wire.constants import ProtocolError

NATIVE: Final = "mysql_native_password"
SHA2: Final = "caching_sha2_password"


def _xor(one: bytes, two: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


def _sha1(*parts: bytes) -> bytes:
    return hashlib.sha1(b"".join(parts)).digest()  # noqa: S324 - the protocol says so


def stage1_of(password: bytes) -> bytes:
    """SHA1(password): all that mysql_native_password needs."""
    return _sha1(password)


def native_response(stage1: bytes, nonce: bytes) -> bytes:
    return _xor(stage1, _sha1(nonce[:20], _sha1(stage1)))


def stage1_from(response: bytes, nonce: bytes, stage2: bytes) -> bytes | None:
    """SHA1(password) from one login's response and the account's double hash; None when they do not fit."""
    if len(response) != 20 or len(stage2) != 20:
        return None
    stage1 = _xor(response, _sha1(nonce[:20], stage2))
    return stage1 if _sha1(stage1) == stage2 else None


def sha2_response(password: bytes, nonce: bytes) -> bytes:
    """caching_sha2_password's scramble."""
    one = hashlib.sha256(password).digest()
    return _xor(one, hashlib.sha256(hashlib.sha256(one).digest() + nonce[:20]).digest())


def _mixed(secret: bytes, nonce: bytes) -> bytes:
    nonce = nonce[:20]
    if len(nonce) < 20:
        raise ProtocolError("the server's nonce is too short")
    return bytes(b ^ n for b, n in zip(secret, cycle(nonce), strict=False))


def seal(secret: bytes, nonce: bytes, pem: bytes) -> bytes:
    """The password for caching_sha2_password without TLS: XOR with the nonce, RSA-OAEP with SHA-1.

    Raises ProtocolError for a bad key.
    """
    mixed = _mixed(secret, nonce)
    try:
        key = serialization.load_pem_public_key(pem.rstrip(b"\0"))
    except (ValueError, UnsupportedAlgorithm):
        raise ProtocolError("the server's RSA key cannot be read") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ProtocolError("the server's key is not an RSA key")
    try:
        return key.encrypt(mixed, _OAEP)
    except ValueError:
        raise ProtocolError("the password is too long for the server's RSA key") from None


def unseal(sealed: bytes, nonce: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """What a client sealed with our key: the password and its final NUL. Raises ProtocolError."""
    try:
        mixed = key.decrypt(sealed, _OAEP)
    except ValueError:
        raise ProtocolError("the client's encrypted password cannot be read") from None
    return _mixed(mixed, nonce)


_OAEP: Final = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303 - the protocol says so
