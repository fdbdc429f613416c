"""Values of a row image as SQL literals. Pure.

No literal depends on a session's character set or sql_mode beyond `sqlpath.SESSION`: text and bytes are hexadecimal,
with their character set in front. The table of Python values is in `binlog/values.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from segue.binlog import columns as ct
from segue.binlog import jsonb
from segue.binlog.columns import Column as Wire
from segue.binlog.events import DoesNotFit
from segue.binlog.values import codec
from segue.schema.catalogue import Column
from segue.schema.convert import TEXT
from segue.schema.shape import base_of, wire

Literal = Callable[[bytes], bytes]
"""From a value as it stands in an image."""
_KINDS = {ct.DATE: "DATE", ct.TIME: "TIME(6)", ct.DATETIME: "DATETIME(6)", ct.TIMESTAMP: "DATETIME(6)"}


def literal(column: Column, wired: Wire | None = None) -> Literal:
    """For values in the image of this column; `wired` where the image was made under another definition of it."""
    wired = wired or wire(column)
    decode = codec(wired).decode
    shown = _shown(column, wired)
    return lambda data: shown(decode(data))


def _shown(column: Column, wired: Wire) -> Callable[[Any], bytes]:
    base = base_of(column)
    if base in TEXT:
        charset = column.charset or "utf8mb4"
        # The three-byte form is a subset, and naming it makes MySQL warn.
        return _text(b"_" + (b"utf8mb4" if charset in {"utf8", "utf8mb3"} else charset.encode()) + b" ")
    if base == "json":
        return _json
    if base in {"float", "double"}:
        return lambda value: _float(float(value))
    if base == "decimal":
        return lambda value: format(value, "f").encode()
    if wired.kind or base in {"date", "time", "datetime", "timestamp"}:
        return lambda value: b"'" + str(value).encode() + b"'"
    if wired.type in {ct.TINY, ct.SHORT, ct.INT24, ct.LONG, ct.LONGLONG, ct.YEAR, ct.BIT, ct.ENUM, ct.SET}:
        return lambda value: b"%d" % value
    return _octets


def _text(introducer: bytes) -> Callable[[bytes], bytes]:
    return lambda value: introducer + b"0x" + value.hex().encode() if value else introducer + b"''"


def _octets(value: bytes) -> bytes:
    return b"0x" + value.hex().encode() if value else b"''"


def _float(value: float) -> bytes:
    text = repr(value)
    return (text if "e" in text else text + "e0").encode()


def _json(document: jsonb.Document) -> bytes:
    """As text where that gives the same document back, else built up: text makes a DECIMAL a DOUBLE."""
    if _is_plain(document.value):
        return b"CAST(_utf8mb4 0x" + document.text().encode().hex().encode() + b" AS JSON)"
    return _built(document.value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, list):
        return all(_is_plain(v) for v in value)
    return not isinstance(value, Decimal | jsonb.Temporal | jsonb.Opaque)


def _built(value: Any) -> bytes:
    match value:
        case None:
            return b"CAST('null' AS JSON)"
        case bool():
            return b"CAST('true' AS JSON)" if value else b"CAST('false' AS JSON)"
        case str():
            return _text(b"_utf8mb4 ")(value.encode())
        case jsonb.Unsigned():
            return b"CAST(%d AS UNSIGNED)" % value
        case int():
            return b"%d" % value
        case float():
            return _float(value)
        case Decimal():
            exponent = value.as_tuple().exponent
            assert isinstance(exponent, int)
            return b"CAST(%s AS DECIMAL(65,%d))" % (format(value, "f").encode(), max(0, -exponent))
        case jsonb.Temporal():
            return b"CAST('%s' AS %s)" % (value.text.encode(), _KINDS[value.type].encode())
        case dict():
            return b"JSON_OBJECT(" + b", ".join(_built(k) + b", " + _built(v) for k, v in value.items()) + b")"
        case list():
            return b"JSON_ARRAY(" + b", ".join(map(_built, value)) + b")"
    raise DoesNotFit("a JSON document holds a value that no statement can make")
