"""MySQL's binary JSON: documents as Python values that keep every distinction the server makes. Pure.

A document's value is a dict, list, str, bool, None or float as in Python's json; int for INTEGER and Unsigned for
UNSIGNED INTEGER; Number (or any Decimal), Temporal and Opaque for what JSON text cannot tell apart from a number or string.
Containers are small (two-byte offsets) where they fit into 64 kB, as the server decides, so that encoding what was
decoded gives the same bytes; only a document that the server changed in place keeps gaps that are not made again.

Source of the format: MySQL Source Code Documentation, json_binary.h.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

from segue.binlog import columns as ct
from segue.binlog import decimals, temporal
from segue.binlog.events import BinlogError, DoesNotFit

(_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL, _INT16, _UINT16, _INT32, _UINT32, _INT64, _UINT64,
 _DOUBLE, _STRING) = range(13)  # fmt: skip
_OPAQUE: Final = 15
_LITERALS: Final = {0: None, 1: True, 2: False}
_NUMBERS: Final = {
    _INT16: struct.Struct("<h"), _UINT16: struct.Struct("<H"), _INT32: struct.Struct("<i"),
    _UINT32: struct.Struct("<I"), _INT64: struct.Struct("<q"), _UINT64: struct.Struct("<Q"), _DOUBLE: struct.Struct("<d"),
}  # fmt: skip
_UNSIGNED: Final = frozenset({_UINT16, _UINT32, _UINT64})
_TEMPORAL: Final = {ct.DATE: "DATE", ct.TIME: "TIME", ct.DATETIME: "DATETIME", ct.TIMESTAMP: "TIMESTAMP"}
MAX_DEPTH: Final = 100
"""The server's own limit."""


class Unsigned(int):
    """An UNSIGNED INTEGER of a document."""

    __slots__ = ()


class Number(Decimal):
    """A DECIMAL of a document, with the precision it is stored with (which may have room for more digits)."""

    __slots__ = ("precision",)
    precision: int

    def __new__(cls, value: Decimal, precision: int) -> Self:
        one = super().__new__(cls, value)
        one.precision = precision
        return one


@dataclass(frozen=True, slots=True)
class Temporal:
    """A DATE, TIME, DATETIME or TIMESTAMP inside a document; text with six digits of fraction, a DATE without."""

    type: int
    text: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value of a type JSON has no form for (BIT, BLOB, GEOMETRY and others): type code and bytes."""

    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Document:
    """The value of a JSON column, so that JSON null (Document(None)) is not SQL NULL (None)."""

    value: Any

    def text(self) -> str:
        """As the server shows it."""
        return _text(self.value)


# -- reading ---------------------------------------------------------------------------------------------------


def decode(data: bytes) -> Document:
    """Raises BinlogError for bytes that are no document."""
    if not data:
        return Document(None)  # the server reads a JSON value of no bytes as null
    try:
        return Document(_Reader(data).value(data[0], 1, MAX_DEPTH))
    except (IndexError, struct.error, ValueError, KeyError, OverflowError) as error:
        raise BinlogError(f"a JSON document is malformed: {error}") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        # Entries of a well-formed document take three bytes or more; more of them means places used twice.
        self._left = len(data)

    def value(self, kind: int, at: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth < 0:
            raise BinlogError("a JSON document is malformed: its parts overlap or lie too deep")
        data = self._data
        number = _NUMBERS.get(kind)
        if number is not None:
            found = number.unpack_from(data, at)[0]
            return Unsigned(found) if kind in _UNSIGNED else found
        if kind == _STRING:
            size, at = self._length(at)
            return self._cut(at, size).decode()
        if kind == _LITERAL:
            return _LITERALS[data[at]]
        if kind <= _LARGE_ARRAY:
            return self._container(kind, at, depth)
        if kind == _OPAQUE:
            size, start = self._length(at + 1)
            return _opaque(data[at], self._cut(start, size))
        raise BinlogError(f"a JSON document holds a value of type {kind}, which is not understood")

    def _container(self, kind: int, at: int, depth: int) -> Any:
        data = self._data
        width = 4 if kind in {_LARGE_OBJECT, _LARGE_ARRAY} else 2
        word = _NUMBERS[_UINT32 if width == 4 else _UINT16].unpack_from
        count, size = word(data, at)[0], word(data, at + width)[0]
        is_object = kind in {_SMALL_OBJECT, _LARGE_OBJECT}
        entries = at + 2 * width + (count * (width + 2) if is_object else 0)
        if at + size > len(data) or entries + count * (width + 1) > at + size:
            raise BinlogError("a JSON document is malformed: a container is larger than its place")
        self._left -= count  # before any memory is spent on them
        if self._left < 0:
            raise BinlogError("a JSON document is malformed: its parts overlap")
        self._left += count
        values = []
        for entry in range(entries, entries + count * (width + 1), width + 1):
            inner = data[entry]
            inlined = inner in {_LITERAL, _INT16, _UINT16} or (width == 4 and inner in {_INT32, _UINT32})
            values.append(self.value(inner, entry + 1 if inlined else at + word(data, entry + 1)[0], depth - 1))
        if not is_object:
            return values
        keys = []
        for entry in range(at + 2 * width, entries, width + 2):
            start = at + word(data, entry)[0]
            keys.append(self._cut(start, data[entry + width] | data[entry + width + 1] << 8).decode())
        return dict(zip(keys, values, strict=True))

    def _length(self, at: int) -> tuple[int, int]:
        """Seven bits a byte, the lowest first; the highest bit says that more follow."""
        size = 0
        for number in range(5):
            byte = self._data[at + number]
            size |= (byte & 0x7F) << 7 * number
            if byte < 0x80:
                return size, at + number + 1
        raise BinlogError("a JSON document is malformed: a length without end")

    def _cut(self, at: int, size: int) -> bytes:
        if at + size > len(self._data):
            raise BinlogError("a JSON document is malformed: a text is longer than its place")
        return self._data[at : at + size]


def _opaque(kind: int, data: bytes) -> Any:
    if kind == ct.NEWDECIMAL:
        precision, scale = data[0], data[1]
        if not 1 <= precision <= 81 or scale > precision or len(data) != 2 + ct.decimal_size(precision, scale):
            raise BinlogError("a JSON document holds a malformed DECIMAL")
        return Number(decimals.decoder(precision, scale)(data[2:]), precision)
    if kind in _TEMPORAL:
        if len(data) != 8:
            raise BinlogError("a JSON document holds a malformed date or time")
        return Temporal(kind, _temporal_text(kind, int.from_bytes(data, "little", signed=True)))
    return Opaque(kind, data)


def _temporal_text(kind: int, packed: int) -> str:
    minus = "-" if packed < 0 else ""
    whole, micro = divmod(abs(packed), 1 << 24)
    if kind == ct.TIME:
        return f"{minus}{temporal.time_text(whole)}.{micro:06d}"
    text = temporal.datetime_text(whole)
    return text[: text.index(" ")] if kind == ct.DATE else f"{text}.{micro:06d}"


# -- writing ---------------------------------------------------------------------------------------------------


def encode(document: Document) -> bytes:
    """Raises DoesNotFit for what the format cannot hold."""
    kind, data = _encode(document.value, MAX_DEPTH)
    return bytes((kind,)) + data


def _encode(value: Any, depth: int) -> tuple[int, bytes]:
    if depth < 0:
        raise DoesNotFit(f"a JSON document of more than {MAX_DEPTH} levels")
    if value is None or value is True or value is False:
        return _LITERAL, b"\0" if value is None else b"\1" if value else b"\2"
    if isinstance(value, str):
        data = value.encode()
        return _STRING, _length(len(data)) + data
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _DOUBLE, struct.pack("<d", value)
    if isinstance(value, dict):
        names = {k.encode(): v for k, v in value.items()}
        keys = sorted(names, key=lambda k: (len(k), k))
        return _pack_container([_encode(names[k], depth - 1) for k in keys], keys)
    if isinstance(value, list):
        return _pack_container([_encode(v, depth - 1) for v in value], None)
    if isinstance(value, Decimal):
        data = _pack_decimal(value)
        return _OPAQUE, bytes((ct.NEWDECIMAL,)) + _length(len(data)) + data
    if isinstance(value, Temporal):
        return _OPAQUE, bytes((value.type, 8)) + _pack_temporal(value)
    if isinstance(value, Opaque):
        return _OPAQUE, bytes((value.type,)) + _length(len(value.data)) + value.data
    raise DoesNotFit(f"a {type(value).__name__} cannot stand in a JSON document")


def _integer(value: int) -> tuple[int, bytes]:
    kinds = (_UINT16, _UINT32, _UINT64) if isinstance(value, Unsigned) or value >= 1 << 63 else (_INT16, _INT32, _INT64)
    for kind in kinds:
        try:
            return kind, _NUMBERS[kind].pack(value)
        except struct.error:
            continue
    raise DoesNotFit(f"{value} does not fit an integer of a JSON document")


def _pack_container(values: list[tuple[int, bytes]], keys: list[bytes] | None) -> tuple[int, bytes]:
    for width in (2, 4):
        data = _container(values, keys, width)
        if data is not None:
            kind = _SMALL_ARRAY if keys is None else _SMALL_OBJECT
            return kind + (width == 4), data
    raise DoesNotFit("a JSON document of more than 4 GB")


def _container(values: list[tuple[int, bytes]], keys: list[bytes] | None, width: int) -> bytes | None:
    """None when it is too large for offsets of this width."""
    names = keys or []
    at = 2 * width + len(names) * (width + 2) + len(values) * (width + 1)
    total = at + sum(map(len, names))
    if total >> 8 * width or len(values) >> 8 * width:
        return None
    entries: list[bytes] = []
    for name in names:
        if len(name) > 0xFFFF:
            raise DoesNotFit("a key of a JSON document of more than 64 kB")
        entries.append(at.to_bytes(width, "little") + len(name).to_bytes(2, "little"))
        at += len(name)
    bodies: list[bytes] = []
    for kind, data in values:
        if kind in {_LITERAL, _INT16, _UINT16} or (width == 4 and kind in {_INT32, _UINT32}):
            # A sign is carried into the wider place.
            fill = b"\xff" if kind == _INT16 and data[-1] & 0x80 else b"\0"
            entries.append(bytes((kind,)) + data.ljust(width, fill))
            continue
        if at >> 8 * width:
            return None
        entries.append(bytes((kind,)) + at.to_bytes(width, "little"))
        bodies.append(data)
        at += len(data)
    if at >> 8 * width:
        return None
    return b"".join((len(values).to_bytes(width, "little"), at.to_bytes(width, "little"), *entries, *names, *bodies))


def _length(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


def _pack_decimal(value: Decimal) -> bytes:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise DoesNotFit(f"{value} cannot stand in a JSON document")
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale, 1, value.precision if isinstance(value, Number) else 1)
    if precision > 81 or scale > 72:
        raise DoesNotFit(f"{value} has too many digits for a JSON document")
    return bytes((precision, scale)) + decimals.encoder(precision, scale)(value)


def _pack_temporal(value: Temporal) -> bytes:
    if value.type == ct.TIME:
        minus, hour, minute, second, fraction = temporal.parse_time(value.text)
        packed = (hour << 12 | minute << 6 | second) << 24 | int(fraction.ljust(6, "0"))
        return (-packed if minus else packed).to_bytes(8, "little", signed=True)
    whole, fraction = temporal.pack_datetime(value.text + " 00:00:00" * (value.type == ct.DATE))
    return (whole << 24 | int(fraction.ljust(6, "0"))).to_bytes(8, "little", signed=True)


# -- as text ---------------------------------------------------------------------------------------------------

_ESCAPES: Final = {ord(c): f"\\{e}" for c, e in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)} | {
    n: f"\\u{n:04x}" for n in range(32) if chr(n) not in "\b\f\n\r\t"
}


def _text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value.translate(_ESCAPES)}"'
        case int():
            return str(int(value))
        case float():
            return number_text(value)
        case Decimal():
            return format(value, "f")
        case dict():
            return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_text, value)) + "]"
        case Temporal():
            return f'"{value.text}"'
        case Opaque():
            return f'"base64:type{value.type}:{base64.b64encode(value.data).decode()}"'
    raise DoesNotFit(f"a {type(value).__name__} cannot stand in a JSON document")


def number_text(value: float) -> str:
    """A double as MySQL shows it in JSON: shortest digits, an exponent beyond 15 places."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    if digits == (0,):
        return "-0.0" if sign else "0.0"
    minus, text = "-" if sign else "", "".join(map(str, digits))
    point = len(text) + exponent
    if not -14 <= point <= 15:
        return f"{minus}{text[0]}{'.' if len(text) > 1 else ''}{text[1:]}e{point - 1}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    if point >= len(text):
        return f"{minus}{text}{'0' * (point - len(text))}.0"
    return f"{minus}{text[:point]}.{text[point:]}"
