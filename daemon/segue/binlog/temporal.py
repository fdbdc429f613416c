"""DATE, TIME, DATETIME, TIMESTAMP and YEAR, old formats and new, as the text the server itself shows. Pure.

Text keeps what datetime objects cannot: zero and partly-zero dates, TIME beyond a day, the fraction's digits. A
TIMESTAMP is shown in UTC. Values are not judged: what the bit fields hold is shown, and goes back the same.

Source of formats: MySQL Internals Manual, "Date and Time Data Type Representation"; MySQL Source Code
Documentation, my_time.cc.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from segue.binlog.events import DoesNotFit

_TWO: Final = tuple(f"{n:02d}" for n in range(1024))
_EPOCH: Final = date(1970, 1, 1)
_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_DATETIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_TIME: Final = re.compile(r"(-?)(\d{2,3}):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
Decode = Callable[[bytes], str]
Encode = Callable[[str], bytes]


# -- bit fields that several formats share ---------------------------------------------------------------------


def datetime_text(packed: int) -> str:
    """Of year*13+month (17 bits), day (5), hour (5), minute (6), second (6)."""
    year, month = divmod(packed >> 22, 13)
    return (
        f"{year:04d}-{_TWO[month]}-{_TWO[packed >> 17 & 31]}"
        f" {_TWO[packed >> 12 & 31]}:{_TWO[packed >> 6 & 63]}:{_TWO[packed & 63]}"
    )


def time_text(packed: int) -> str:
    """Of hour (10 bits), minute (6), second (6)."""
    return f"{_TWO[packed >> 12 & 1023]}:{_TWO[packed >> 6 & 63]}:{_TWO[packed & 63]}"


def parse_datetime(text: str) -> tuple[int, int, int, int, int, int, str]:
    """Year to second, and the fraction's digits. Raises DoesNotFit."""
    match = _DATETIME.fullmatch(text)
    if match is None:
        raise DoesNotFit(f"'{text}' is no DATETIME")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    if month > 12 or day > 31 or hour > 23 or minute > 59 or second > 59:
        raise DoesNotFit(f"'{text}' is no DATETIME")
    return year, month, day, hour, minute, second, match[7] or ""


def parse_time(text: str) -> tuple[bool, int, int, int, str]:
    """Sign, hour, minute, second, and the fraction's digits. Raises DoesNotFit."""
    match = _TIME.fullmatch(text)
    if match is None or int(match[2]) > 838 or int(match[3]) > 59 or int(match[4]) > 59:
        raise DoesNotFit(f"'{text}' is no TIME")
    return bool(match[1]), int(match[2]), int(match[3]), int(match[4]), match[5] or ""


def pack_datetime(text: str) -> tuple[int, str]:
    """The bit fields of `datetime_text`, and the fraction's digits."""
    year, month, day, hour, minute, second, fraction = parse_datetime(text)
    return ((year * 13 + month) << 5 | day) << 17 | hour << 12 | minute << 6 | second, fraction


def _fraction(digits: str, fsp: int, text: str) -> int:
    """The stored number of a fraction: two digits a byte, an odd last digit as tens."""
    if digits[fsp:].strip("0"):
        raise DoesNotFit(f"'{text}' has more than {fsp} digits of fraction")
    return int(digits[:fsp].ljust((fsp + 1) // 2 * 2, "0") or 0)


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days)).isoformat()


def _moment(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_day(days)} {_TWO[hour]}:{_TWO[minute]}:{_TWO[second]}"


def _seconds(text: str) -> tuple[int, str]:
    """Seconds since 1970 in UTC; the zero date is 0."""
    year, month, day, hour, minute, second, fraction = parse_datetime(text)
    if not (year or month or day):
        return 0, fraction
    try:
        days = (date(year, month, day) - _EPOCH).days
    except ValueError:
        raise DoesNotFit(f"'{text}' is no TIMESTAMP") from None
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    if not 0 <= seconds < 1 << 32:
        raise DoesNotFit(f"'{text}' does not fit TIMESTAMP")
    return seconds, fraction


# -- one column type each --------------------------------------------------------------------------------------


def datetime2(fsp: int) -> tuple[Decode, Encode]:
    """Five bytes big-endian above 2**39, then the fraction."""
    digits = (fsp + 1) // 2 * 2

    def decode(data: bytes) -> str:
        text = datetime_text(int.from_bytes(data[:5]) & 0x7FFFFFFFFF)
        return f"{text}.{str(int.from_bytes(data[5:])).zfill(digits)[:fsp]}" if fsp else text

    def encode(text: str) -> bytes:
        packed, fraction = pack_datetime(text)
        return (packed | 1 << 39).to_bytes(5) + _fraction(fraction, fsp, text).to_bytes(digits // 2)

    return decode, encode


def timestamp2(fsp: int) -> tuple[Decode, Encode]:
    """Four bytes big-endian, unsigned (MariaDB from 11.5 uses them until 2106), then the fraction."""
    digits = (fsp + 1) // 2 * 2

    def decode(data: bytes) -> str:
        seconds, part = int.from_bytes(data[:4]), int.from_bytes(data[4:])
        text = _moment(seconds) if seconds or part else "0000-00-00 00:00:00"
        return f"{text}.{str(part).zfill(digits)[:fsp]}" if fsp else text

    def encode(text: str) -> bytes:
        seconds, fraction = _seconds(text)
        return seconds.to_bytes(4) + _fraction(fraction, fsp, text).to_bytes(digits // 2)

    return decode, encode


def time2(fsp: int) -> tuple[Decode, Encode]:
    """Hours to fraction as one big-endian number above the middle of its range, so negative ones sort below."""
    size = (fsp + 1) // 2
    bits = 8 * size
    middle = 0x800000 << bits

    def decode(data: bytes) -> str:
        number = int.from_bytes(data) - middle
        minus = "-" if number < 0 else ""
        number = abs(number)
        text = f"{minus}{time_text(number >> bits)}"
        return f"{text}.{str(number & (1 << bits) - 1).zfill(2 * size)[:fsp]}" if fsp else text

    def encode(text: str) -> bytes:
        minus, hour, minute, second, fraction = parse_time(text)
        number = (hour << 12 | minute << 6 | second) << bits | _fraction(fraction, fsp, text)
        return (middle - number if minus else middle + number).to_bytes(3 + size)

    return decode, encode


def date_decode(data: bytes) -> str:
    """Three bytes little-endian: year (15 bits), month (4), day (5)."""
    packed = int.from_bytes(data, "little")
    return f"{packed >> 9:04d}-{_TWO[packed >> 5 & 15]}-{_TWO[packed & 31]}"


def date_encode(text: str) -> bytes:
    match = _DATE.fullmatch(text)
    if match is None or int(match[2]) > 12 or int(match[3]) > 31:
        raise DoesNotFit(f"'{text}' is no DATE")
    return (int(match[1]) << 9 | int(match[2]) << 5 | int(match[3])).to_bytes(3, "little")


def old_datetime_decode(data: bytes) -> str:
    """Eight bytes little-endian, the decimal number YYYYMMDDhhmmss; MySQL before 5.6, and tables kept from it."""
    day, clock = divmod(int.from_bytes(data, "little"), 1000000)
    return (
        f"{day // 10000:04d}-{_TWO[day // 100 % 100]}-{_TWO[day % 100]}"
        f" {_TWO[clock // 10000]}:{_TWO[clock // 100 % 100]}:{_TWO[clock % 100]}"
    )


def old_datetime_encode(text: str) -> bytes:
    year, month, day, hour, minute, second, fraction = parse_datetime(text)
    _fraction(fraction, 0, text)
    number = ((year * 100 + month) * 100 + day) * 1000000 + (hour * 100 + minute) * 100 + second
    return number.to_bytes(8, "little")


def old_timestamp_decode(data: bytes) -> str:
    seconds = int.from_bytes(data, "little")
    return _moment(seconds) if seconds else "0000-00-00 00:00:00"


def old_timestamp_encode(text: str) -> bytes:
    seconds, fraction = _seconds(text)
    _fraction(fraction, 0, text)
    return seconds.to_bytes(4, "little")


def old_time_decode(data: bytes) -> str:
    """Three bytes little-endian, signed, the decimal number HHHMMSS."""
    number = int.from_bytes(data, "little", signed=True)
    minus, number = ("-", -number) if number < 0 else ("", number)
    return f"{minus}{_TWO[number // 10000]}:{_TWO[number // 100 % 100]}:{_TWO[number % 100]}"


def old_time_encode(text: str) -> bytes:
    minus, hour, minute, second, fraction = parse_time(text)
    _fraction(fraction, 0, text)
    number = hour * 10000 + minute * 100 + second
    return (-number if minus else number).to_bytes(3, "little", signed=True)


def year_decode(data: bytes) -> int:
    """0 is the year 0000, everything else counts from 1900."""
    return data[0] + 1900 if data[0] else 0


def year_encode(year: int) -> bytes:
    if year != 0 and not 1901 <= year <= 2155:
        raise DoesNotFit(f"{year} does not fit YEAR")
    return bytes((year - 1900 if year else 0,))


# -- MariaDB's fractions of 5.3 to 10.0 (columns.with_fraction): one big-endian number of 10**-digits seconds ----

_TIME_ZERO: Final = 838 * 3600 + 59 * 60 + 59 + 1
"""Seconds above which a positive TIME lies."""


def hires_time(fsp: int, size: int) -> tuple[Decode, Encode]:
    unit = int(10**fsp)

    def decode(data: bytes) -> str:
        number = int.from_bytes(data) - _TIME_ZERO * unit
        seconds, part = divmod(abs(number), unit)
        minutes, second = divmod(seconds, 60)
        return f"{'-' if number < 0 else ''}{minutes // 60:02d}:{_TWO[minutes % 60]}:{_TWO[second]}.{part:0{fsp}d}"

    def encode(text: str) -> bytes:
        minus, hour, minute, second, fraction = parse_time(text)
        number = (hour * 3600 + minute * 60 + second) * unit + _units(fraction, fsp, text)
        return (_TIME_ZERO * unit + (-number if minus else number)).to_bytes(size)

    return decode, encode


def hires_datetime(fsp: int, size: int) -> tuple[Decode, Encode]:
    unit = int(10**fsp)

    def decode(data: bytes) -> str:
        rest, part = divmod(int.from_bytes(data), unit)
        rest, second = divmod(rest, 60)
        rest, minute = divmod(rest, 60)
        rest, hour = divmod(rest, 24)
        rest, day = divmod(rest, 32)
        year, month = divmod(rest, 13)
        date_text = f"{year:04d}-{_TWO[month]}-{_TWO[day]}"
        return f"{date_text} {_TWO[hour]}:{_TWO[minute]}:{_TWO[second]}.{part:0{fsp}d}"

    def encode(text: str) -> bytes:
        year, month, day, hour, minute, second, fraction = parse_datetime(text)
        number = ((((year * 13 + month) * 32 + day) * 24 + hour) * 60 + minute) * 60 + second
        return (number * unit + _units(fraction, fsp, text)).to_bytes(size)

    return decode, encode


def hires_timestamp(fsp: int, size: int) -> tuple[Decode, Encode]:
    """Four bytes of seconds, then the fraction as a number of its own."""

    def decode(data: bytes) -> str:
        seconds, part = int.from_bytes(data[:4]), int.from_bytes(data[4:])
        return f"{_moment(seconds) if seconds or part else '0000-00-00 00:00:00'}.{part:0{fsp}d}"

    def encode(text: str) -> bytes:
        seconds, fraction = _seconds(text)
        return seconds.to_bytes(4) + _units(fraction, fsp, text).to_bytes(size - 4)

    return decode, encode


def _units(digits: str, fsp: int, text: str) -> int:
    if digits[fsp:].strip("0"):
        raise DoesNotFit(f"'{text}' has more than {fsp} digits of fraction")
    return int(digits[:fsp].ljust(fsp, "0"))
