"""Rows that differ, or only seem to, of every type: SQL values for the source and for the target, and the verdict.

Many are made at random from one seed: a value, and the same with one bit, digit or character changed.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["equal", "different"]
COLUMNS = {
    "i1": "TINYINT", "i2": "SMALLINT UNSIGNED", "i3": "MEDIUMINT", "i4": "INT ZEROFILL", "i8": "BIGINT UNSIGNED",
    "dec": "DECIMAL(30,10)", "f": "FLOAT", "d": "DOUBLE", "f2": "FLOAT(10,3)", "b1": "BIT(1)", "b17": "BIT(17)", "b64": "BIT(64)",
    "dt": "DATE", "tm": "TIME", "tm6": "TIME(6)", "dtm": "DATETIME", "dtm3": "DATETIME(3)", "ts": "TIMESTAMP NULL",
    "ts6": "TIMESTAMP(6) NULL", "y": "YEAR", "c": "CHAR(20)", "vc": "VARCHAR(200)",
    "vb": "VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "l1": "VARCHAR(50) CHARACTER SET latin1",
    "u16": "VARCHAR(20) CHARACTER SET utf16", "sj": "VARCHAR(20) CHARACTER SET sjis", "bi": "BINARY(6)", "vbi": "VARBINARY(100)",
    "tt": "TINYTEXT", "tx": "TEXT", "lt": "LONGTEXT", "tb": "TINYBLOB", "lb": "LONGBLOB",
    "e": "ENUM('x','y','Z ä')", "s": "SET('p','q','r')", "js": "JSON", "g": "GEOMETRY", "pt": "POINT",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One row."""

    what: str
    source: dict[str, str]
    """SQL by column; what is absent is NULL."""
    target: dict[str, str]
    verdict: Verdict


def _pair(column: str, one: str, two: str, verdict: Verdict = "different", what: str = "") -> Case:
    return Case(what or f"{column}: {one[:40]} / {two[:40]}", {column: one}, {column: two}, verdict)


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def cases(flavour: str, seed: int = 7) -> list[Case]:
    """All of them, in a fixed order."""
    rng = random.Random(seed)
    return [*_named(flavour), *_integers(rng), *_reals(rng), *_times(rng), *_strings(rng), *_bytes(rng), *_joined()]


def _named(flavour: str) -> Iterator[Case]:
    mysql = flavour == "mysql"
    for column in COLUMNS:
        if column not in ("g", "pt", "js"):
            value = {"b1": "b'0'", "dt": "'0000-00-00'", "e": "'x'"}.get(column, "''" if column in _STRINGS else "0")
            yield _pair(column, "NULL", value, what=f"{column}: NULL against {value}")
    yield _pair("vc", "'a'", "'a '", what="a trailing space")
    yield _pair("vb", "'a'", "'a '", what="a trailing space, binary collation")
    yield _pair("l1", "'a'", "'a '", what="a trailing space, latin1")
    yield _pair("tx", "'a'", "'a '", what="a trailing space in TEXT")
    yield _pair("lt", "'a'", "'a\n'", what="a trailing newline")
    yield _pair("c", "'a'", "'a  '", "equal", "CHAR does not store trailing spaces")
    yield _pair("vc", "'straße'", "'strasse'", what="equal under the collation only")
    yield _pair("vc", "'abc'", "'ABC'", what="case")
    yield _pair("e", "'x'", "'y'")
    yield _pair("e", "''", "NULL", what="the empty value of an ENUM against NULL")
    yield _pair("s", "'p,q'", "'q,p'", "equal", "a SET has no order")
    yield _pair("s", "''", "NULL")
    yield _pair("vc", "'é'", "'e\u0301'", what="composed against decomposed")
    yield _pair("l1", "'é'", "'è'")
    yield _pair("sj", "'\u30bd'", "'\u8868'")
    yield _pair("u16", "'ab'", "'ba'")
    yield _pair("d", "-0e0", "0e0", "different" if mysql else "equal", "-0.0, which MariaDB stores as 0")
    yield _pair("f", "-0e0", "0e0", "different" if mysql else "equal", "-0.0 in FLOAT")
    yield _pair("f", "16777216", "16777218", what="FLOATs that print alike")
    yield _pair("f", "0.1", "0.10000000149011612e0", "equal", "the same FLOAT by two names")
    yield _pair("f2", "1.125", "1.126")
    yield _pair("dec", "-0.0", "0", "equal", "a DECIMAL has no negative zero")
    yield _pair("dec", "1.10", "1.1", "equal")
    yield _pair("dec", "1.0000000001", "1.0000000000")
    yield _pair("tm", "'-00:00:00'", "'00:00:00'", "equal")
    yield _pair("tm6", "'-00:00:00.000001'", "'00:00:00.000001'")
    yield _pair("ts6", "'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000002'", what="a microsecond")
    yield _pair("dt", "'0000-00-00'", "'2024-02-00'", what="zero dates")
    yield _pair("dtm", "'0000-00-00'", "NULL", what="a zero date against NULL")
    yield _pair("ts", "'0000-00-00'", "NULL", what="a zero timestamp against NULL")
    yield _pair("dt", "'2021-02-31'", "'2021-02-30'", what="days that do not exist")
    yield _pair("y", "0", "2000")
    yield _pair("bi", "0x01", "0x010000000000", "equal", "BINARY is filled up with zeros")
    yield _pair("vbi", "0x01", "0x0100", what="a trailing zero byte")
    yield _pair("vbi", "''", "0x00")
    order = "equal" if mysql else "different"
    yield _pair("js", """'{"a": 1, "bb": 2}'""", """'{"bb": 2, "a": 1}'""", order, "JSON key order; MariaDB stores the text")
    yield _pair("js", """'[1,2]'""", """'[1, 2]'""", order, "JSON spaces; MariaDB stores the text")
    yield _pair("js", "'null'", "NULL", what="JSON null against NULL")
    yield _pair("js", "'1'", "'1.0'")
    yield _pair("js", "'1'", """'"1"'""")
    yield _pair("js", """'{"a": {"b": [1, 2, 3]}}'""", """'{"a": {"b": [1, 2, 4]}}'""")
    yield _pair("js", """'"a"'""", """'"a "'""")
    yield _pair("js", "'{}'", "'[]'")
    yield _pair("g", "ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(2 1)')")
    yield _pair("g", "ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(1 2)', 4326)", what="another SRID")
    yield _pair("pt", "ST_GeomFromText('POINT(1 0.1)')", "ST_GeomFromText('POINT(1 0.10000000000000002)')")
    yield _pair("g", "NULL", "ST_GeomFromText('POINT(0 0)')")


_STRINGS = {"c", "vc", "vb", "l1", "u16", "sj", "vbi", "bi", "tt", "tx", "lt", "tb", "lb", "s"}


def _integers(rng: random.Random) -> Iterator[Case]:
    sizes = {"i1": (-128, 127), "i2": (0, 65535), "i3": (-(1 << 23), (1 << 23) - 1), "i4": (0, (1 << 32) - 1),
             "i8": (0, (1 << 64) - 1), "b17": (0, (1 << 17) - 1), "b64": (0, (1 << 64) - 1)}  # fmt: skip
    for column, (low, high) in sizes.items():
        for _ in range(4):
            one = rng.randint(low, high)
            two = one ^ 1 << rng.randrange((high - low).bit_length() - 1)
            if low <= two <= high:
                yield _pair(column, str(one), str(two), what=f"{column}: one bit of {one}")
        yield _pair(column, str(low), str(high))
        yield _pair(column, str(high), str(high), "equal")
    for _ in range(4):
        digits = "".join(rng.choice("123456789") for _ in range(30))
        at = rng.randrange(30)
        changed = digits[:at] + str(10 - int(digits[at])).replace("5", "4") + digits[at + 1 :]
        if changed != digits:
            yield _pair("dec", f"{digits[:20]}.{digits[20:]}", f"{changed[:20]}.{changed[20:]}")


def _reals(rng: random.Random) -> Iterator[Case]:
    for column, code, size in (("f", "f", 4), ("d", "d", 8)):
        found = 0
        while found < 12:
            raw = rng.randbytes(size)
            number = int.from_bytes(raw, "little")
            # Not the exponent: it might become infinite.
            bit = 1 << rng.randrange(size * 8 - (10 if size == 4 else 13)) if found % 3 else 1
            one, two = (struct.unpack(code, n.to_bytes(size, "little"))[0] for n in (number, number ^ bit))
            if not 1e-30 < abs(one) < 1e30:
                continue
            found += 1
            yield _pair(column, _exponent(one), _exponent(two), what=f"{column}: one bit of {one!r}")
            if found % 4 == 0:
                yield _pair(column, _exponent(one), _exponent(one), "equal")


def _exponent(value: float) -> str:
    text = repr(value)
    return text if "e" in text else f"{text}e0"


def _times(rng: random.Random) -> Iterator[Case]:
    for column, digits in (("dtm", 0), ("dtm3", 3), ("ts", 0), ("ts6", 6)):
        for _ in range(3):
            head = f"20{rng.randint(10, 37)}-0{rng.randint(1, 9)}-{rng.randint(10, 28)} {rng.randint(10, 23)}:{rng.randint(10, 59)}"
            second, fraction = rng.randint(10, 58), rng.randrange(10**digits)
            one = f"'{head}:{second}" + (f".{fraction:0{digits}d}'" if digits else "'")
            other = fraction ^ 1
            two = f"'{head}:{second}.{other:0{digits}d}'" if digits and other < 10**digits else f"'{head}:{second + 1}'"
            yield _pair(column, one, two)
    for _ in range(3):
        hours, micro = rng.randint(-838, 837), rng.randrange(999_999)
        yield _pair("tm6", f"'{hours}:00:00.{micro:06d}'", f"'{hours}:00:00.{micro + 1:06d}'")
        yield _pair("tm", f"'{hours}:00:00'", f"'{hours}:00:01'")
        year = rng.randint(1901, 2154)
        yield _pair("y", str(year), str(year + 1))
        yield _pair("dt", f"'{year}-01-01'", f"'{year}-01-02'")


def _strings(rng: random.Random) -> Iterator[Case]:
    letters = "abcXYZ 019#'\\%_äöüß€漢𝄞\t\n"
    for column, most in (("vc", 190), ("vb", 50), ("tt", 60), ("tx", 5000), ("lt", 70_000), ("c", 18)):
        for _ in range(3):
            one = "x" + "".join(rng.choice(letters) for _ in range(rng.randint(1, most - 2))) + "x"
            at = rng.randrange(len(one))
            other = rng.choice([c for c in letters + "q" if c != one[at] and not (c == " " and at == len(one) - 1)])
            yield _pair(column, _text(one), _text(one[:at] + other + one[at + 1 :]), what=f"{column}: one of {len(one)} letters")
        yield _pair(column, _text(one), _text(one), "equal")
    plain = "".join(chr(rng.randint(0xC0, 0xFF)) for _ in range(30))
    yield _pair("l1", _text(plain), _text(plain[:-1] + "a"))
    yield _pair("js", _text(json.dumps({"k": plain})), _text(json.dumps({"k": plain[:-1]})))


def _bytes(rng: random.Random) -> Iterator[Case]:
    for column, most in (("vbi", 100), ("bi", 6), ("tb", 255), ("lb", 100_000)):
        for _ in range(4):
            one = bytearray(rng.randbytes(most))
            two = bytearray(one)
            two[rng.randrange(most)] ^= 1 << rng.randrange(8)
            yield _pair(column, f"0x{one.hex()}", f"0x{two.hex()}", what=f"{column}: one bit of {most} bytes")
        yield _pair(column, f"0x{one.hex()}", f"0x{one.hex()}", "equal")


def _joined() -> Iterator[Case]:
    """Values that move over a border between columns."""
    for one, two in ((("a#b", "c"), ("a", "b#c")), (("ab", "c"), ("a", "bc")), (("", "ab"), ("ab", "")),
                     (("N", "x"), (None, "x")), (("1#1", ""), ("1", "#1"))):  # fmt: skip
        left, right = ({k: _text(v) for k, v in zip(("vc", "vb"), side, strict=True) if v is not None} for side in (one, two))
        yield Case(f"{one} / {two}", left, right, "different")
    yield Case("the same number in another column", {"i1": "1"}, {"i3": "1"}, "different")
    yield Case("a swapped pair of columns", {"i1": "1", "i3": "2"}, {"i1": "2", "i3": "1"}, "different")


def filled(found: list[Case]) -> list[Case]:
    """Those without NULL, each with a value in every column, for a table whose columns are NOT NULL."""
    without = [c for c in found if c.source.keys() == c.target.keys() and "NULL" not in {*c.source.values(), *c.target.values()}]
    values = [(c, v) for case in found for side in (case.source, case.target) for c, v in side.items() if v != "NULL"]
    common = dict(reversed([*values, *((c, "POINT(1, 1)") for c in ("g", "pt"))]))
    return [Case(c.what, common | c.source, common | c.target, c.verdict) for c in without]


def create(table: str, *, nullable: bool = True) -> str:
    columns = ", ".join(f"`{c}` {kind if nullable else kind.removesuffix(' NULL') + ' NOT NULL'}" for c, kind in COLUMNS.items())
    return f"CREATE TABLE {table} (id INT PRIMARY KEY, {columns}) ENGINE=InnoDB"


def insert(table: str, number: int, values: dict[str, str]) -> str:
    names = ", ".join(["id", *(f"`{c}`" for c in values)])
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join([str(number), *values.values()])})"
