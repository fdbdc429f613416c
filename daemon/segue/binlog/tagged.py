"""GTIDs with a tag (MySQL 8.3 and later): the event, and the GTID set as COM_BINLOG_DUMP_GTID wants it. Pure.

The event is the first in MySQL's serialization format: numbers that tell their own size, fields by number.
Source: MySQL Source Code Documentation, "MySQL serialization library", "Gtid_event"; Gtid_set::encode.
"""

from __future__ import annotations

from typing import Final

from segue.binlog.events import BinlogError, uuid_text

_VERSION: Final = 1
_FLAGS, _UUID, _NUMBER, _TAG, _LAST_COMMITTED, _SEQUENCE, _COMMIT_TIME = range(7)
_MOST_UNDERSTOOD: Final = 11
"""commit_group_ticket; a field that must not be ignored has a number up to `last non-ignorable field`."""


def tagged_gtid(body: bytes) -> tuple[str, int, float]:
    """(source uuid:tag, number, commit time in seconds) of a GTID_TAGGED event's body; without a tag the uuid alone.

    Raises BinlogError.
    """
    try:
        return _parse(body)
    except (IndexError, UnicodeDecodeError):
        raise BinlogError("a GTID_TAGGED event is cut short") from None


def _parse(body: bytes) -> tuple[str, int, float]:
    version, at = number(body, 0)
    size, at = number(body, at)
    needed, at = number(body, at)
    if version != _VERSION or size != len(body) or needed > _MOST_UNDERSTOOD:
        raise BinlogError(f"a GTID_TAGGED event of version {version} is not understood")
    uuid, tag, gno, time = b"", "", 0, 0
    while at < len(body):
        field, at = number(body, at)
        if field == _UUID:
            octets = []
            for _ in range(16):
                one, at = number(body, at)
                octets.append(one & 0xFF)
            uuid = bytes(octets)
        elif field == _TAG:
            length, at = number(body, at)
            if at + length > len(body):
                raise BinlogError("a GTID_TAGGED event is cut short")
            tag, at = body[at : at + length].decode("ascii"), at + length
        else:
            value, at = number(body, at)
            if field == _NUMBER:
                gno = signed(value)
            elif field == _COMMIT_TIME:
                time = value
            elif field > _MOST_UNDERSTOOD:
                break
    if len(uuid) != 16 or gno <= 0:
        raise BinlogError("a GTID_TAGGED event has no GTID")
    source = uuid_text(uuid)
    return f"{source}:{tag}" if tag else source, gno, time / 1e6


def number(data: bytes, at: int) -> tuple[int, int]:
    """(value, position behind it): as many low ones in the first byte as bytes follow it. Raises IndexError."""
    first = data[at]
    more = ((first + 1) & ~first).bit_length() - 1
    end = at + 1 + more
    if end > len(data):
        raise IndexError(at)
    if more == 8:
        return int.from_bytes(data[at + 1 : end], "little"), end
    return int.from_bytes(data[at:end], "little") >> (more + 1), end


def signed(value: int) -> int:
    """The sign of a signed field is its lowest bit; a negative one is stored as its complement."""
    return ~(value >> 1) if value & 1 else value >> 1


def encode_set(sets: dict[str, list[list[int]]]) -> bytes:
    """A GTID set in the format that knows tags: intervals (half open) by "uuid" or "uuid:tag"."""
    out = [(1 << 56 | len(sets) << 8 | 1).to_bytes(8, "little")]
    for key, intervals in sorted(sets.items()):
        uuid, _, tag = key.partition(":")
        out += [bytes.fromhex(uuid.replace("-", "")), bytes((len(tag) << 1,)), tag.encode("ascii")]
        out.append(len(intervals).to_bytes(8, "little"))
        out += [edge.to_bytes(8, "little") for interval in intervals for edge in interval]
    return b"".join(out)
