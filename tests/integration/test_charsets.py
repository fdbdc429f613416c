"""Character sets that are re-written here mean to Python what they mean to the servers, character for character."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import Server
from segue.binlog.events import DoesNotFit
from segue.binlog.recode import PYTHON_NAMES, bytes_of, text_of

pytestmark = pytest.mark.servers
WIDE = {"utf8mb4", "utf8mb3", "utf8", "utf16", "utf16le", "utf32", "ucs2"}


def test_single_bytes_and_characters(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> None:
    """What the servers cannot convert (they answer with a question mark) must be refused here, never guessed."""
    server = pairs(flavour)[0]
    for charset in sorted(set(PYTHON_NAMES) - WIDE):
        asked = ", ".join(f"HEX(CONVERT(_{charset} 0x{n:02x} USING utf8mb4))" for n in range(128 if charset == "ascii" else 256))
        for number, answer in enumerate(server.sql(f"SELECT {asked}")[0]):
            try:
                mine = text_of(bytes((number,)), charset).encode().hex().upper()
            except DoesNotFit:
                mine = "3F"
            assert mine == answer, (charset, hex(number))
        characters = [chr(n) for n in range(1, 0x2600)]
        for at in range(0, len(characters), 1000):
            part = characters[at : at + 1000]
            asked = ", ".join(f"HEX(CONVERT(_utf8mb4 0x{c.encode().hex()} USING {charset}))" for c in part)
            for character, answer in zip(part, server.sql(f"SELECT {asked}")[0], strict=True):
                try:
                    mine = bytes_of(character, charset).hex().upper()
                except DoesNotFit:
                    continue  # stricter is safe: it stops
                assert mine == answer, (charset, hex(ord(character)))
