"""DECIMAL values: sign-adjusted big-endian groups of nine digits, exact in both directions. Pure.

Source of the format: MySQL Source Code Documentation, "decimal2bin".
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from segue.binlog.columns import decimal_size
from segue.binlog.events import DoesNotFit

_BYTES: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


def _groups(precision: int, scale: int) -> list[tuple[int, int, int]]:
    """(bits to the right of the group, mask, ten to the power of its digits), from the left."""
    whole = precision - scale
    digits = [whole % 9] * (whole % 9 > 0) + [9] * (whole // 9) + [9] * (scale // 9) + [scale % 9] * (scale % 9 > 0)
    left = decimal_size(precision, scale) * 8
    out = []
    for count in digits:
        bits = _BYTES[count] * 8
        left -= bits
        out.append((left, (1 << bits) - 1, 10**count))
    return out


def decoder(precision: int, scale: int) -> Callable[[bytes], Decimal]:
    """A function from the value's bytes to a Decimal with exactly `scale` digits behind the point."""
    groups = _groups(precision, scale)
    bits = decimal_size(precision, scale) * 8
    sign, ones = 1 << bits - 1, (1 << bits) - 1
    tail = f"E-{scale}" if scale else ""

    def decode(data: bytes) -> Decimal:
        raw = int.from_bytes(data)
        minus = "" if raw & sign else "-"
        raw ^= ones ^ sign if minus else sign
        number = 0
        for shift, mask, power in groups:
            number = number * power + (raw >> shift & mask)
        # From text, since arithmetic would round to the context's precision.
        return Decimal(f"{minus if number else ''}{number}{tail}")

    return decode


def encoder(precision: int, scale: int) -> Callable[[Decimal], bytes]:
    """The way back. Raises DoesNotFit for too many digits on either side of the point."""
    groups = _groups(precision, scale)[::-1]
    size = decimal_size(precision, scale)
    sign, ones = 1 << size * 8 - 1, (1 << size * 8) - 1

    def encode(value: Decimal) -> bytes:
        minus, number = scaled(value, scale)
        if number >= 10**precision:
            raise DoesNotFit(f"{value} does not fit DECIMAL({precision},{scale})")
        raw = 0
        for shift, _, power in groups:
            number, group = divmod(number, power)
            raw |= group << shift
        raw ^= ones ^ sign if minus else sign
        return raw.to_bytes(size)

    return encode


def scaled(value: Decimal, scale: int) -> tuple[bool, int]:
    """(is below zero, absolute value times 10**scale), exact. Raises DoesNotFit when that is no whole number."""
    minus, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise DoesNotFit(f"{value} is no DECIMAL")
    number = int("".join(map(str, digits)))
    if exponent + scale >= 0:
        if exponent > 100:
            raise DoesNotFit(f"{value} is too large for a DECIMAL")
        number *= 10 ** (exponent + scale)
    else:
        number, rest = divmod(number, 10 ** -(exponent + scale)) if number else (0, 0)
        if rest:
            raise DoesNotFit(f"{value} has more than {scale} digits behind the point")
    return bool(minus and number), number
