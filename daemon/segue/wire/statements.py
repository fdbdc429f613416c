"""Packets that execute prepared statements: where their types are, and putting them in. Pure.

Source: MySQL documentation, "COM_STMT_EXECUTE"; MariaDB Knowledge Base, "COM_STMT_BULK_EXECUTE". Offsets count
from the packet's header. Query attributes are never relayed, so there are only the statement's own parameters.
"""

from __future__ import annotations

from typing import Final

from segue.wire.constants import COM_STMT_EXECUTE, MAX_PAYLOAD
from segue.wire.framing import packet

_NULLS: Final = 14
_BULK_SENDS_TYPES: Final = 128


def flag_offset(parameters: int) -> int:
    """Where an EXECUTE packet has its new-types flag; 0 for a statement without parameters."""
    return _NULLS + (parameters + 7) // 8 if parameters else 0


def execute_types(data: bytes, parameters: int) -> bytes | None:
    """The types in a whole EXECUTE packet, two bytes each; None when it brings none."""
    at = flag_offset(parameters)
    if not at or len(data) <= at or data[at] != 1:
        return None
    types = data[at + 1 : at + 1 + 2 * parameters]
    return types if len(types) == 2 * parameters else None


def bulk_types(data: bytes, parameters: int) -> bytes | None:
    """The types in a whole BULK_EXECUTE packet; None when it brings none."""
    if len(data) < 11 or not int.from_bytes(data[9:11], "little") & _BULK_SENDS_TYPES:
        return None
    types = data[11 : 11 + 2 * parameters]
    return types if len(types) == 2 * parameters else None


def with_types(command: int, data: bytes, parameters: int, types: bytes) -> bytes | None:
    """The packet with types put in; None when it would grow over one packet, or is too short to be one."""
    if len(data) + len(types) >= MAX_PAYLOAD:
        return None
    if command == COM_STMT_EXECUTE:
        at = flag_offset(parameters)
        if len(data) <= at:
            return None
        return packet(data[4:at] + b"\1" + types + data[at + 1 :], data[3])
    flags = int.from_bytes(data[9:11], "little") | _BULK_SENDS_TYPES
    return packet(data[4:9] + flags.to_bytes(2, "little") + types + data[11:], data[3])
