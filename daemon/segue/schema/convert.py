"""What becomes of one column's values: same, carried, lossy or blocked, and by what means. Pure.

`judge` looks at two definitions. Its rules are the servers' semantics without their silences: what a server would
convert wrongly or without a word is done here, checked value by value, or refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from segue.binlog import columns as ct
from segue.binlog import recode
from segue.binlog.columns import Column as Wire
from segue.binlog.events import DoesNotFit
from segue.binlog.recode import Recode
from segue.binlog.values import codec
from segue.schema.catalogue import Column
from segue.schema.shape import BLOBS, BYTES_OF, FIXED_BYTES, GEOMETRIES, TEXTS, base_of, wire

Kind = Literal["same", "carried", "lossy", "blocked"]
INTEGER: Final = frozenset(BYTES_OF)
NUMBER: Final = INTEGER | {"decimal", "float", "double", "bit", "year"}
TEXT: Final = frozenset({"char", "varchar", *TEXTS})
OCTETS: Final = frozenset({"binary", "varbinary", *BLOBS})
_KNOWN: Final = NUMBER | TEXT | OCTETS | {"date", "time", "datetime", "timestamp", "json", "enum", "set"}
TEMPORAL: Final = frozenset({"date", "time", "datetime", "timestamp", "year"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a column is carried. The byte forms are those of `transcode.Step`."""

    kind: Kind
    how: str = ""
    """What happens to values; why not, when blocked."""
    loss: str = ""
    """What values stop the stream (or are cut to fit, when allowed)."""
    mend: str = ""
    sql: bool = False
    """Only statements can do it."""
    tail: bytes = b""
    sign: int = 0
    prefix: int = 0
    recode: Recode | None = None


SAME: Final = Verdict("same")


class Ends(NamedTuple):
    """Both columns as everything here looks at them."""

    one: str
    """The source's data type, a word."""
    two: str
    source: Column
    target: Column
    here: Wire
    """How the source sends it."""
    there: Wire
    clip: bool
    """Values that do not fit are cut."""


def judge(source: Column, target: Column, *, clip: bool) -> Verdict:
    """Values only; NULL, defaults and generated columns are for `compare`."""
    one, two = base_of(source), base_of(target)
    if source.type == target.type and source.collation == target.collation and one in _KNOWN:
        return SAME
    ends = Ends(one, two, source, target, wire(source), wire(target), clip)
    if one in TEXT and two in TEXT:
        return _text(ends)
    if one == two:
        return _within(ends)
    if one in INTEGER and two in INTEGER:
        return _integers(ends)
    if (one in TEXT or one in OCTETS) and (two in TEXT or two in OCTETS):
        return _octets(ends)
    for maker in (_numbers, _times, _labelled, _documents, _addresses, _geometry):
        found = maker(ends)
        if found is not None:
            return found
    return Verdict(
        "blocked", f"{source.type} cannot be turned into {target.type} without guessing",
        mend=_make_alike(source),
    )  # fmt: skip


def _make_alike(source: Column) -> str:
    return f"Give the target's column the type {source.type}, or put the column into ignore_columns"


def _through(here: Wire, there: Wire, change: recode.Change) -> Recode:
    return recode.through(here, there, change)


# -- one type, other attributes --------------------------------------------------------------------------------


def _within(ends: Ends) -> Verdict:
    base, _, source, target, here, there, clip = ends
    if base in INTEGER:
        return _integers(ends)
    if base in {"enum", "set"}:
        return _lists(ends)
    if base in OCTETS:
        return _octets(ends)
    if base == "decimal":
        return _decimals(here, there, clip=clip)
    if base in {"float", "double"}:
        if here.unsigned or not there.unsigned:
            return SAME
        return Verdict("lossy", "the sign is checked", "values below zero", recode=_through(here, there, recode.to_float(there, clip=clip)))
    if base in {"time", "datetime", "timestamp"}:
        return _fractions(here, there, clip=clip)
    if base == "bit":
        if here.length == there.length:
            return SAME
        change = recode.to_integer(there, clip=clip)
        kind: Kind = "carried" if here.length < there.length else "lossy"
        loss = f"values of more than {there.length} bits" if kind == "lossy" else ""
        return Verdict(kind, f"BIT({here.length}) to BIT({there.length})", loss, recode=_through(here, there, change))
    if base == "vector" and source.parsed.numbers != target.parsed.numbers:
        return Verdict("blocked", f"{source.type} and {target.type} hold vectors of different size", mend=_make_alike(source))
    return SAME


def _integers(ends: Ends) -> Verdict:
    _, _, source, target, here, there, clip = ends
    low, high = recode.integer_bounds(here)
    least, most = recode.integer_bounds(there)
    if (low, high) == (least, most):
        return SAME
    how = f"{source.type} to {target.type}"
    more = there.size - here.size
    if least <= low and high <= most:
        if here.unsigned:
            return Verdict("carried", f"{how}, widened", tail=bytes(more))
        return Verdict("carried", f"{how}, widened", sign=more)
    change = recode.to_integer(there, clip=clip)
    return Verdict("lossy", f"{how}, each value checked", f"values outside of {least} to {most}", recode=_through(here, there, change))


def _decimals(here: Wire, there: Wire, *, clip: bool) -> Verdict:
    if (here.length, here.scale) == (there.length, there.scale) and (here.unsigned or not there.unsigned):
        return SAME
    change = recode.to_decimal(there, clip=clip)
    how = f"DECIMAL({here.length},{here.scale}) to DECIMAL({there.length},{there.scale})"
    fits = there.scale >= here.scale and there.length - there.scale >= here.length - here.scale
    if fits and (here.unsigned or not there.unsigned):
        return Verdict("carried", how, recode=_through(here, there, change))
    loss = "values with more digits" if not fits else "values below zero"
    return Verdict("lossy", f"{how}, each value checked", loss, recode=_through(here, there, change))


def _fractions(here: Wire, there: Wire, *, clip: bool) -> Verdict:
    if here.type == there.type and here.length == there.length:
        return SAME
    how = f"{here.length} to {there.length} digits of fraction"
    if here.type == there.type and here.length == 0:
        return Verdict("carried", how, tail=bytes(there.size - here.size))
    if here.type == there.type and (here.length + 1) // 2 == (there.length + 1) // 2 and here.length < there.length:
        return Verdict("carried", how)
    change = _through(here, there, recode.digits(there.length, clip=clip))
    if here.length <= there.length:
        return Verdict("carried", how, recode=change)
    return Verdict("lossy", f"{how}, each value checked", f"values with more than {there.length} digits of fraction", recode=change)


def _lists(ends: Ends) -> Verdict:
    base, _, source, target, here, there, clip = ends
    old, new = source.parsed.labels, target.parsed.labels
    if new[: len(old)] == old:
        more = there.size - here.size
        return SAME if old == new else Verdict("carried", "labels were added behind the old ones", tail=bytes(more))
    lost = [label for label in old if label not in new]
    maker = recode.enum if base == "enum" else recode.labels
    made = maker(here, there, old, new, clip=clip)
    if not lost:
        return Verdict("carried", "by label, the lists differ", recode=made)
    return Verdict("lossy", "by label, the lists differ", f"rows with {', '.join(repr(x) for x in lost[:5])}", recode=made)


# -- text and bytes --------------------------------------------------------------------------------------------


def _characters(column: Column) -> int:
    return column.parsed.number(0, 1) if base_of(column) in {"char", "varchar"} else 0


def _capacity(column: Column, wired: Wire) -> int:
    """Most bytes."""
    return wired.length if base_of(column) in {"char", "varchar", "binary", "varbinary"} else (1 << 8 * wired.prefix) - 1


def _same_bytes(one: str, two: str) -> bool:
    """Text in the first character set is the same bytes in the second."""
    utf8 = {"utf8mb3", "utf8", "utf8mb4"}
    return one == two or (one in utf8 and two in utf8) or (one == "ascii" and two in utf8 | {"latin1", "latin2", "cp1250", "cp1251"})


def _is_subset(one: str, two: str) -> bool:
    """Every character of the first exists in the second."""
    full = {"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"}
    three = {"utf8mb3", "utf8", "ucs2"}
    return one == two or two in full or one == "ascii" or (two in three and one not in full) or {one, two} <= three


def _text(ends: Ends) -> Verdict:
    base, base_there, source, target, here, there, clip = ends
    one, two = source.charset or "utf8mb4", target.charset or "utf8mb4"
    compressed = ct.BLOB_COMPRESSED in {here.type, there.type} or ct.VARCHAR_COMPRESSED in {here.type, there.type}
    cut = _characters(target) and (not _characters(source) or _characters(target) < _characters(source))
    short = _capacity(target, there) < _capacity(source, here) and not _characters(target)
    padded = base_there == "char" and base != "char"
    if (here.type, here.prefix, here.length) == (there.type, there.prefix, there.length) and one == two and not cut:
        if source.collation == target.collation:
            return SAME
        return Verdict("carried", f"the bytes stay; {source.collation} and {target.collation} sort and compare differently")
    how = f"{source.type} {one} to {target.type} {two}" if one != two else f"{source.type} to {target.type}"
    losses = [
        f"text of more than {_characters(target) or _capacity(target, there)} {'characters' if cut else 'bytes'}" if cut or short else "",
        f"characters that {two} does not have" if not _is_subset(one, two) else "",
        "spaces at the end" if padded else "",
    ]
    loss = ", ".join(x for x in losses if x)
    kind: Kind = "lossy" if loss else "carried"
    if not compressed and not recode.can_recode(one, two):
        return _plain_text(Verdict(kind, how, loss), here, there, by_server=one != two or bool(cut or short or padded))
    if compressed:
        return _compressed(Verdict(kind, how, loss), here, there, same_charset=one == two)
    if not loss and _same_bytes(one, two) and here.prefix <= there.prefix:
        more = there.prefix if there.prefix != here.prefix else 0
        return Verdict("carried", how, prefix=more)
    made = recode.text(here, there, (one, two), _characters(target), padded=padded, clip=clip)
    return Verdict(kind, how + (", each value checked" if loss else ""), loss, recode=made)


def _plain_text(made: Verdict, here: Wire, there: Wire, *, by_server: bool) -> Verdict:
    """A character set that only the servers know."""
    if by_server or here.prefix > there.prefix:
        return replace(made, how=f"{made.how}, converted by the target", sql=True)
    return replace(made, prefix=there.prefix if there.prefix != here.prefix else 0)


def _compressed(made: Verdict, here: Wire, there: Wire, *, same_charset: bool) -> Verdict:
    kind, how, loss = made.kind, made.how, made.loss
    if here.type == there.type and same_charset and not loss and here.prefix == there.prefix:
        return Verdict("carried", how)
    if loss or not same_charset:
        return Verdict("blocked", f"{how}: a COMPRESSED column is carried only to one that is no shorter and of the same"
                       " character set", mend="Give the target's column the same length and character set")  # fmt: skip
    return Verdict(kind, how, recode=_through(here, there, lambda value: value))


def _octets(ends: Ends) -> Verdict:
    one, two, source, target, here, there, clip = ends
    how = f"{source.type} to {target.type}"
    compressed = ct.BLOB_COMPRESSED in {here.type, there.type} or ct.VARCHAR_COMPRESSED in {here.type, there.type}
    if compressed:
        if (here.type, here.prefix, here.length) == (there.type, there.prefix, there.length) and one == two:
            return SAME
        grows = _capacity(target, there) >= _capacity(source, here) and {one, two} <= OCTETS
        return _compressed(Verdict("carried", how, "" if grows else "longer values"), here, there, same_charset=one in OCTETS)
    charset = None
    if one in OCTETS and two in TEXT:
        charset = target.charset or "utf8mb4"
        if charset not in recode.PYTHON_NAMES:
            return Verdict("blocked", f"{how}: whether bytes are text in {charset} cannot be told", mend=_make_alike(source))
    pad = source.parsed.number(0, 1) if one == "binary" and two != "binary" else 0
    fixed = two == "binary"
    if one == two and here.length == there.length and here.prefix == there.prefix:
        return SAME
    grows = _capacity(target, there) >= _capacity(source, here)
    if grows and not pad and charset is None and (not fixed or one == "binary") and here.prefix <= there.prefix:
        return Verdict("carried", how, prefix=there.prefix if there.prefix != here.prefix else 0)
    made = recode.octets(here, there, pad_to=pad or (source.parsed.number(0, 1) if one == "binary" else 0), fixed=fixed,
                         charset=charset, clip=clip)  # fmt: skip
    losses = ["" if grows else f"values of more than {_capacity(target, there)} bytes",
              f"bytes that are no text in {charset}" if charset else "",
              "values that are shorter, which BINARY fills with zero bytes" if fixed and one != "binary" else ""]  # fmt: skip
    loss = ", ".join(x for x in losses if x)
    return Verdict("lossy" if loss else "carried", how, loss, recode=made)


# -- from one type to another ----------------------------------------------------------------------------------


def _numbers(ends: Ends) -> Verdict | None:
    one, two, source, target, here, there, clip = ends
    how = f"{source.type} to {target.type}"
    if one in TEMPORAL - {"year"}:
        return None
    if one in NUMBER and two in TEXT and one not in {"float", "double", "bit"}:
        shown: Callable[[Any], str] = (lambda v: f"{v:04d}") if one == "year" else (lambda v: format(v, "f") if one == "decimal" else str(v))
        return _shown(ends, shown)
    if one not in NUMBER or two not in NUMBER or (one == "float" and two != "double"):
        return None
    if two in INTEGER | {"bit", "year"}:
        if one in {"float", "double"}:
            return None
        low, high = recode.integer_bounds(there)
        whole = one != "decimal"
        if whole:
            least, most = recode.integer_bounds(here)
            kind: Kind = "carried" if low <= least and most <= high and two != "year" else "lossy"
        else:
            kind = "lossy"
        loss = f"values outside of {low} to {high}" + ("" if whole else " or with digits behind the point")
        return Verdict(kind, how, loss if kind == "lossy" else "", recode=_through(here, there, recode.to_integer(there, clip=clip)))
    if two == "decimal":
        if one in {"float", "double"}:
            return None
        least, most = recode.integer_bounds(here)
        fits = max(len(str(abs(least))), len(str(most))) <= there.length - there.scale and (least >= 0 or not there.unsigned)
        made = _through(here, there, recode.to_decimal(there, clip=clip))
        return Verdict("carried" if fits else "lossy", how, "" if fits else "values with more digits", recode=made)
    exact = one == "float" or (one in INTEGER and BYTES_OF[one] <= (6 if two == "double" else 2)) or one == "year"
    if there.unsigned and not here.unsigned:
        exact = False
    made = _through(here, there, recode.to_float(there, clip=clip))
    return Verdict("carried" if exact else "lossy", how, "" if exact else "values with more digits than it keeps", recode=made)


def _shown(ends: Ends, shown: Callable[[Any], str]) -> Verdict:
    _, _, source, target, here, there, clip = ends
    how = f"{source.type} to {target.type}"
    """As the text that the server shows."""
    charset, limit = target.charset or "utf8mb4", _characters(target)
    if charset not in recode.PYTHON_NAMES:
        return Verdict("carried", f"{how}, converted by the target", sql=True)
    most = _capacity(target, there)
    narrow = limit and limit < 20

    def change(value: Any) -> bytes:
        words = shown(value)
        if limit and len(words) > limit:
            if not clip:
                raise DoesNotFit(f"'{words}' has more than {limit} characters")
            words = words[:limit]
        content = recode.bytes_of(words, charset, clip=clip)
        if len(content) > most:
            raise DoesNotFit(f"'{words[:40]}...' has more than {most} bytes")
        return content

    return Verdict("lossy" if narrow else "carried", f"{how}, as text", f"values of more than {limit} characters" if narrow else "",
                   recode=_through(here, there, change))  # fmt: skip


def _times(ends: Ends) -> Verdict | None:
    one, two, source, target, here, there, clip = ends
    if one not in TEMPORAL:
        return None
    how = f"{source.type} to {target.type}"
    if {one, two} == {"datetime", "timestamp"}:
        return Verdict("blocked", f"{how}: TIMESTAMP is an instant and DATETIME a wall clock's time, and no time zone of the"
                       " wall clock is known", mend=_make_alike(source))  # fmt: skip
    if two in TEXT and one in {"date", "time", "datetime"}:
        return _shown(ends, str)
    if (one, two) == ("date", "datetime"):
        tail = " 00:00:00" + ("." + "0" * there.length if there.length else "")
        return Verdict("carried", how, recode=_through(here, there, lambda value: value + tail))
    if (one, two) == ("datetime", "date"):
        return Verdict("lossy", how, "values with a time of day", recode=_through(here, there, recode.date_of(clip=clip)))
    return None


def _labelled(ends: Ends) -> Verdict | None:
    one, two, source, target, here, there, clip = ends
    how = f"{source.type} to {target.type}"
    if one in {"enum", "set"} and two in TEXT:
        old = source.parsed.labels
        name = recode.enum_text(old) if one == "enum" else recode.set_text(old)
        return replace(_shown(ends, name), how=f"{how}, by label")
    if one in TEXT and two == "enum" and (source.charset or "") in recode.PYTHON_NAMES:
        pick, charset = recode.text_enum(target.parsed.labels, clip=clip), source.charset or ""
        return Verdict("lossy", f"{how}, by label", "text that is none of the labels",
                       recode=_through(here, there, lambda v: pick(recode.text_of(v, charset))))  # fmt: skip
    return None


def _documents(ends: Ends) -> Verdict | None:
    one, two, source, target, _here, _there, _clip = ends
    how = f"{source.type} to {target.type}"
    if one == "json" and two in TEXT:
        made = _shown(ends, lambda v: str(v.text()))
        return made if made.kind == "lossy" else replace(made, how=f"{how}, as the text that the source shows")
    if one in TEXT and two == "json":
        return Verdict("carried", f"{how}, read by the target, which stops at what is no JSON", sql=True)
    return None


def _addresses(ends: Ends) -> Verdict | None:
    one, two, source, target, here, there, _clip = ends
    how = f"{source.type} to {target.type}"
    if one in FIXED_BYTES and two in TEXT:
        return _shown(ends, str)
    if one in TEXT and two in FIXED_BYTES and (source.charset or "") in recode.PYTHON_NAMES:
        charset = source.charset or ""
        return Verdict("lossy", how, f"text that is no {two.upper()}",
                       recode=_through(here, there, lambda v: recode.text_of(v, charset)))  # fmt: skip
    return None


def _geometry(ends: Ends) -> Verdict | None:
    one, two, source, target, _here, _there, _clip = ends
    if one in GEOMETRIES and two == "geometry":
        return Verdict("carried", f"{source.type} to {target.type}")
    return None


def constant(target: Column, value: str | float | bool) -> bytes:
    """A configured or literal default as it stands in a row image. Raises DoesNotFit for what the column cannot hold."""
    there, base = wire(target), base_of(target)
    if isinstance(value, bool):
        value = int(value)
    if base in TEXT:
        charset = target.charset or "utf8mb4"
        if charset not in recode.PYTHON_NAMES:
            raise DoesNotFit(f"a default in {charset} is not known")
        words = str(value).rstrip(" ") if base == "char" else str(value)
        if (limit := _characters(target)) and len(words) > limit:
            raise DoesNotFit(f"it has more than {limit} characters")
        return codec(there).encode(recode.bytes_of(words, charset))
    if base in OCTETS:
        return codec(there).encode(str(value).encode().rstrip(b"\0") if base == "binary" else str(value).encode())
    if base in INTEGER | {"bit", "year"}:
        text = str(value).strip()
        match = re.fullmatch(r"b'([01]+)'", text)
        return codec(there).encode(recode.to_integer(there, clip=False)(int(match[1], 2) if match else int(text)))
    if base == "decimal":
        return codec(there).encode(recode.to_decimal(there, clip=False)(Decimal(str(value))))
    if base in {"float", "double"}:
        return codec(there).encode(float(value))
    if base == "enum":
        return codec(there).encode(recode.text_enum(target.parsed.labels, clip=False)(str(value)))
    if base == "set":
        new = target.parsed.labels
        parts = [p for p in str(value).split(",") if p]
        if any(p not in new for p in parts):
            raise DoesNotFit(f"'{value}' is no set of the column's labels")
        return codec(there).encode(sum(1 << new.index(p) for p in set(parts)))
    if base in {"time", "datetime", "timestamp"}:
        return codec(there).encode(recode.digits(there.length, clip=False)(str(value)))
    if base in {"date", *FIXED_BYTES}:
        return codec(there).encode(str(value))
    raise DoesNotFit(f"a default for {target.type} cannot be given")
