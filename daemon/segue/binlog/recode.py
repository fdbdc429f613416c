"""One column's value re-written for another column, bytes in and bytes out. Pure.

A function takes the value as it stands in a row image, the length in front of variable ones included, and gives it as
the other column's image holds it. It raises DoesNotFit for a value that the other column cannot hold exactly, or,
with `clip`, gives the nearest one it can hold: what `ALTER TABLE` outside of strict mode would make of it.

Character sets: only those whose every byte was seen to mean the same to Python as to both servers.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, Final

from segue.binlog import columns as ct
from segue.binlog.columns import Column
from segue.binlog.events import BinlogError, DoesNotFit
from segue.binlog.values import codec

Recode = Callable[[bytes], bytes]
Change = Callable[[Any], Any]

PYTHON_NAMES: Final = {
    "utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "ascii": "ascii", "latin1": "segue-latin1",
    "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be", "ucs2": "utf-16-be", "latin2": "iso8859-2",
    "cp1250": "cp1250", "cp1251": "cp1251", "koi8r": "koi8-r", "cp850": "cp850", "cp852": "cp852",
}  # fmt: skip
"""Character sets of the servers by the name of the Python codec that does the same."""
_THREE_BYTES: Final = frozenset({"utf8mb3", "utf8", "ucs2"})


def _latin1() -> codecs.CodecInfo:
    """cp1252 whose undefined bytes are the control characters of the same number, as in the servers' latin1."""
    table = "".join(_one(bytes((n,)), "cp1252") for n in range(256))
    back = codecs.charmap_build(table)
    return codecs.CodecInfo(
        lambda text, errors="strict": codecs.charmap_encode(text, errors, back),
        lambda data, errors="strict": codecs.charmap_decode(data, errors, table),
        name="segue-latin1",
    )


def _one(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return chr(data[0])


codecs.register(lambda name: _latin1() if name.replace("-", "_") == "segue_latin1" else None)


def can_recode(source: str, target: str) -> bool:
    """Whether text can go from one character set to the other here."""
    return source in PYTHON_NAMES and target in PYTHON_NAMES


def text_of(data: bytes, charset: str) -> str:
    """Raises DoesNotFit for bytes that are no text of the character set."""
    try:
        return data.decode(PYTHON_NAMES[charset])
    except UnicodeDecodeError:
        raise DoesNotFit(f"{data[:40]!r} is no text in {charset}") from None


def bytes_of(text: str, charset: str, *, clip: bool = False) -> bytes:
    """Raises DoesNotFit for characters that the character set does not have; `clip` gives a question mark for each."""
    if charset in _THREE_BYTES and any(ord(c) > 0xFFFF for c in text):
        if not clip:
            wide = next(c for c in text if ord(c) > 0xFFFF)
            raise DoesNotFit(f"the character U+{ord(wide):04X} does not exist in {charset}")
        text = "".join(c if ord(c) <= 0xFFFF else "?" for c in text)
    try:
        return text.encode(PYTHON_NAMES[charset], "replace" if clip else "strict")
    except UnicodeEncodeError as error:
        raise DoesNotFit(f"the character U+{ord(text[error.start]):04X} does not exist in {charset}") from None


# -- text and byte strings -------------------------------------------------------------------------------------


def text(source: Column, target: Column, charsets: tuple[str, str], characters: int, *, padded: bool, clip: bool) -> Recode:
    """Text to text. `characters` is the most that the target holds, 0 for no limit but its bytes.

    `padded`: the target is a CHAR, which does not keep spaces at the end.
    """
    one, two = charsets
    skip, prefix = source.prefix, target.prefix
    most = target.length if target.type in {ct.VARCHAR, ct.STRING} else (1 << 8 * prefix) - 1
    same = one == two or (two == "utf8mb4" and one in {"utf8mb3", "utf8"})
    both_ascii = not same and not {one, two} & {"utf16", "utf16le", "utf32", "ucs2"}

    def recode(data: bytes) -> bytes:
        content = data[skip:]
        if padded and content.endswith(b" "):
            if not clip:
                raise DoesNotFit("spaces at its end would be lost in a CHAR")
            content = content.rstrip(b" ")
        if content.isascii() and (same or both_ascii):
            count = len(content)
        elif same and not characters:
            count = 0
        else:
            words = text_of(content, one)
            count = len(words)
            content = content if same else bytes_of(words, two, clip=clip)
        if (characters and count > characters) or len(content) > most:
            if not clip:
                raise DoesNotFit(f"its {count or len(content)} characters are more than {characters or most}")
            content = _cut(text_of(content, two), two, characters, most)
        return len(content).to_bytes(prefix, "little") + content

    return recode


def _cut(words: str, charset: str, characters: int, most: int) -> bytes:
    words = words[:characters] if characters else words
    content = bytes_of(words, charset, clip=True)
    while len(content) > most:
        words = words[: len(words) - max(1, (len(content) - most) // 4)]
        content = bytes_of(words, charset, clip=True)
    return content


def octets(source: Column, target: Column, *, pad_to: int, fixed: bool, charset: str | None, clip: bool) -> Recode:
    """Byte strings. `pad_to`: the source is BINARY of that size. `fixed`: the target is BINARY.

    `charset`: the target is text in it, and what is no text is refused.
    """
    skip, prefix = source.prefix, target.prefix
    most = target.length if target.type in {ct.VARCHAR, ct.STRING} else (1 << 8 * prefix) - 1

    def recode(data: bytes) -> bytes:
        content = data[skip:]
        if pad_to:
            content = content.ljust(pad_to, b"\0")
        if charset is not None:
            text_of(content, charset)
        if fixed:
            if not pad_to and len(content) != most and not clip:
                raise DoesNotFit(f"its {len(content)} bytes would be filled up to {most}")
            stripped = content.rstrip(b"\0")
            if len(stripped) > most and not clip:
                raise DoesNotFit(f"its {len(stripped)} bytes are more than {most}")
            content = stripped[:most].rstrip(b"\0")
        elif len(content) > most:
            if not clip:
                raise DoesNotFit(f"its {len(content)} bytes are more than {most}")
            content = content[:most]
        return len(content).to_bytes(prefix, "little") + content

    return recode


# -- through the value -----------------------------------------------------------------------------------------


def through(source: Column, target: Column, change: Change) -> Recode:
    """Decode, change, encode."""
    one, two = codec(source), codec(target)

    def recode(data: bytes) -> bytes:
        try:
            return two.encode(change(one.decode(data)))
        except DoesNotFit:
            raise
        except (BinlogError, ValueError, ArithmeticError) as error:
            raise DoesNotFit(str(error)) from None

    return recode


def integer_bounds(column: Column) -> tuple[int, int]:
    """Least and greatest value of an integer, BIT or YEAR column."""
    if column.type == ct.BIT:
        return 0, (1 << column.length) - 1
    if column.type == ct.YEAR:
        return 0, 2155
    bits = column.size * 8
    return (0, (1 << bits) - 1) if column.unsigned else (-(1 << bits - 1), (1 << bits - 1) - 1)


def to_integer(target: Column, *, clip: bool) -> Change:
    """From int or Decimal."""
    low, high = integer_bounds(target)

    def change(value: Any) -> int:
        number = int(value)
        if isinstance(value, Decimal) and value != number:
            if not clip:
                raise DoesNotFit(f"{value} has digits behind the point")
            number = int(value.to_integral_value(ROUND_HALF_UP))
        if low <= number <= high:
            if target.type == ct.YEAR and number and number < 1901:
                raise DoesNotFit(f"{number} is no YEAR")
            return number
        if not clip:
            raise DoesNotFit(f"{number} is outside of {low} to {high}")
        return min(max(number, low), high)

    return change


def to_decimal(target: Column, *, clip: bool) -> Change:
    """From int or Decimal."""
    digits, scale, unsigned = target.length, target.scale, bool(target.unsigned)
    unit = Decimal(1).scaleb(-scale)
    greatest = Decimal((0, (9,) * digits, -scale))

    def change(value: Any) -> Decimal:
        number = Decimal(value)
        with localcontext() as context:
            context.prec = 200
            if unsigned and number < 0:
                if not clip:
                    raise DoesNotFit(f"{value} is below zero")
                number = Decimal(0)
            if clip:
                number = min(max(number.quantize(unit, ROUND_HALF_UP), -greatest), greatest)
        return number

    return change


def to_float(target: Column, *, clip: bool) -> Change:
    """From int, Decimal or float; the nearest value must be shown by the same digits."""
    unsigned = bool(target.unsigned)
    narrow = codec(target)

    def change(value: Any) -> float:
        if unsigned and value < 0:
            if not clip:
                raise DoesNotFit(f"{value} is below zero")
            value = 0
        number = float(value)
        if not clip and not isinstance(value, float) and Decimal(repr(number)) != Decimal(value):
            raise DoesNotFit(f"{value} has more digits than a {target.type_name} keeps")
        if target.type == ct.FLOAT:
            short: float = narrow.decode(narrow.encode(number))
            if short != number and not clip:
                raise DoesNotFit(f"{value} has more digits than a FLOAT keeps")
            return short
        return number

    return change


def digits(fsp: int, *, clip: bool) -> Change:
    """A TIME, DATETIME or TIMESTAMP with another number of digits of fraction."""

    def change(value: str) -> str:
        head, _, fraction = value.partition(".")
        kept = fraction[:fsp].ljust(fsp, "0")
        if fraction[fsp:].strip("0") and not clip:
            raise DoesNotFit(f"'{value}' has more than {fsp} digits of fraction")
        return f"{head}.{kept}" if fsp else head

    return change


def date_of(*, clip: bool) -> Change:
    """A DATETIME as DATE."""

    def change(value: str) -> str:
        day, _, time = value.partition(" ")
        if time.strip("0:.") and not clip:
            raise DoesNotFit(f"'{value}' has a time of day")
        return day

    return change


def label_numbers(old: Sequence[str], new: Sequence[str]) -> dict[int, int]:
    """ENUM numbers, 0 (the error value) included, by label; a label that the other list lacks is absent."""
    there = {label: n for n, label in enumerate(new, 1)}
    return {0: 0} | {n: there[label] for n, label in enumerate(old, 1) if label in there}


def enum(source: Column, target: Column, old: Sequence[str], new: Sequence[str], *, clip: bool) -> Recode:
    """An ENUM with another list, by label."""
    table = label_numbers(old, new)
    size = target.size
    made = {n.to_bytes(source.size, "little"): m.to_bytes(size, "little") for n, m in table.items()}

    def recode(data: bytes) -> bytes:
        found = made.get(data)
        if found is None:
            number = int.from_bytes(data, "little")
            if not clip:
                raise DoesNotFit(f"label {_label(old, number)} does not exist on the target")
            return bytes(size)
        return found

    return recode


def labels(source: Column, target: Column, old: Sequence[str], new: Sequence[str], *, clip: bool) -> Recode:
    """A SET with another list, by label."""
    there = {label: 1 << n for n, label in enumerate(new)}
    size = target.size

    def recode(data: bytes) -> bytes:
        bits, out = int.from_bytes(data, "little"), 0
        for n, label in enumerate(old):
            if bits >> n & 1:
                if label in there:
                    out |= there[label]
                elif not clip:
                    raise DoesNotFit(f"label '{label}' does not exist on the target")
        return out.to_bytes(size, "little")

    _ = source
    return recode


def _label(old: Sequence[str], number: int) -> str:
    return f"'{old[number - 1]}'" if 0 < number <= len(old) else f"number {number}"


def enum_text(old: Sequence[str]) -> Change:
    def change(value: int) -> str:
        if value > len(old):
            raise DoesNotFit(f"number {value} has no label")
        return old[value - 1] if value else ""

    return change


def set_text(old: Sequence[str]) -> Change:
    return lambda value: ",".join(label for n, label in enumerate(old) if value >> n & 1)


def text_enum(new: Sequence[str], *, clip: bool) -> Change:
    there = {label: n for n, label in enumerate(new, 1)} | {"": 0}

    def change(value: str) -> int:
        if value not in there or (value == "" and "" not in new):
            if not clip:
                raise DoesNotFit(f"'{value[:60]}' is none of the target's labels")
            return 0
        return there[value]

    return change
