"""Columns on both sides of a mapping, with values at their edges and a question that must be answered alike by both.

Each entry: the source's type, the target's, values as SQL literals, and what to ask of column {c}.
"""

from __future__ import annotations

from dataclasses import dataclass

NUMBER, BYTES, TEXT = "{c} + 0", "HEX({c})", "HEX(CONVERT({c} USING utf8mb4))"
MOMENT, CLOCK, STAMP, DAY = "CAST({c} AS DATETIME(6))", "CAST({c} AS TIME(6))", "UNIX_TIMESTAMP({c})", "CAST({c} AS CHAR(10))"
SHOWN = "HEX(CONVERT(CAST({c} AS CHAR) USING utf8mb4))"
ANY = ("mysql", "mariadb")
U4, L1 = " CHARACTER SET utf8mb4", " CHARACTER SET latin1"


@dataclass(frozen=True)
class Entry:
    source: str
    target: str
    values: tuple[str, ...]
    asked: str
    asked_there: str = ""
    """Where the target's column must be asked otherwise."""
    sources: tuple[str, ...] = ANY
    targets: tuple[str, ...] = ANY

    @property
    def name(self) -> str:
        return self.source if self.source == self.target else f"{self.source} -> {self.target}"


def _same(kind: str, asked: str, *values: str, **more: tuple[str, ...]) -> Entry:
    return Entry(kind, kind, values, asked, **more)  # type: ignore[arg-type]


_SMALL = ("0", "-128", "127", "5")
_LONG_TEXT = ("''", "'ä€ü'", "REPEAT('ü', 200)", "'a b '", "REPEAT('x', 255)")
POOL = (
    _same("tinyint", NUMBER, *_SMALL), _same("smallint unsigned", NUMBER, "0", "65535"), _same("mediumint", NUMBER, "-8388608", "8388607"),
    _same("int unsigned", NUMBER, "0", "4294967295"), _same("bigint", NUMBER, "-9223372036854775808", "9223372036854775807"),
    _same("bigint unsigned", NUMBER, "18446744073709551615", "0"), _same("decimal(30,10)", NUMBER, "-12345678901234567890.0123456789", "0", "0.5"),
    _same("float", "{c}", "1.5", "-3.25e20", "0"), _same("double", "{c}", "1e300", "-2.2250738585072014e-308", "0.1"),
    _same("bit(17)", NUMBER, "b'10101010101010101'", "0"), _same("year", NUMBER, "1901", "2155", "0"),
    _same("date", DAY, "'2024-02-29'", "'9999-12-31'", "'0001-01-01'"), _same("time(6)", CLOCK, "'-838:59:58.999999'", "'00:00:00.000001'"),
    _same("datetime(3)", MOMENT, "'9999-12-31 23:59:59.999'", "'1000-01-01 00:00:00'"), _same("timestamp(6) null", STAMP, "'2038-01-19 03:14:07.123456'"),
    _same("char(10)" + U4, TEXT, "'ä€'", "''"), _same("varchar(300)" + U4, TEXT, *_LONG_TEXT), _same("text" + L1, TEXT, "'é'", "''"),
    _same("binary(4)", BYTES, "0x00FF", "0x01", "0x01020304"), _same("varbinary(20)", BYTES, "0x0001020300", "''"), _same("blob", BYTES, "REPEAT(0x00, 3000)", "''"),
    _same("enum('x','y')", SHOWN, "'x'", "'y'"), _same("set('p','q','r')", SHOWN, "'p,r'", "''"), _same("point", "ST_AsText({c})", "ST_GeomFromText('POINT(1 2)')"),
    _same("json", "{c}", "'{\"k\": [1, null, \"ä\", 1.5, true]}'", "'[]'", "'\"x\"'", sources=("mysql",)),
    _same("json", "CONCAT_WS(',', {c}, JSON_TYPE(JSON_EXTRACT({c}, '$.d')), JSON_TYPE(JSON_EXTRACT({c}, '$.t')))",
          "JSON_OBJECT('d', CAST(1.50 AS DECIMAL(5,2)), 't', CAST('2024-01-02' AS DATE))",
          "JSON_OBJECT('d', CAST(18446744073709551615 AS UNSIGNED), 't', CAST('10:11:12.5' AS TIME(6)))",
          sources=("mysql",), targets=("mysql",)),
    _same("longtext" + U4, TEXT, "'{}'", "REPEAT('𝄞', 1000)"),
    _same("uuid", SHOWN, "'123e4567-e89b-12d3-a456-426655440000'", sources=("mariadb",), targets=("mariadb",)),
    _same("inet6", SHOWN, "'2001:db8::ff00:42:8329'", "'::'", sources=("mariadb",), targets=("mariadb",)),
    _same("vector(3)", BYTES, "STRING_TO_VECTOR('[1,2,3.5]')", sources=("mysql",), targets=("mysql",)),
    Entry("tinyint", "bigint", _SMALL, NUMBER), Entry("int unsigned", "bigint", ("4294967295", "0"), NUMBER),
    Entry("mediumint unsigned", "int unsigned", ("16777215", "1"), NUMBER), Entry("mediumint", "int", ("-8388608", "7"), NUMBER),
    Entry("bigint", "int", ("-2147483648", "5"), NUMBER), Entry("int", "tinyint unsigned", ("255", "0"), NUMBER),
    Entry("decimal(8,2)", "decimal(20,6)", ("-999999.99", "0", "0.01"), NUMBER), Entry("decimal(20,6)", "decimal(8,2)", ("-12.5", "0.01"), NUMBER),
    Entry("int", "decimal(12,2)", ("-2147483648", "7"), NUMBER), Entry("decimal(8,2)", "int", ("-999999", "0"), NUMBER),
    Entry("int", "double", ("-2147483648", "7"), NUMBER), Entry("float", "double", ("1.5", "-0.25"), "{c}"), Entry("bit(9)", "int", ("257", "0"), NUMBER),
    Entry("bit(3)", "bit(12)", ("5", "0"), NUMBER), Entry("year", "smallint", ("1901", "2155"), NUMBER), Entry("datetime", "datetime(6)", ("'2024-02-29 23:59:59'",), MOMENT),
    Entry("datetime(1)", "datetime(5)", ("'2024-02-29 23:59:59.7'", "'1000-01-01 00:00:00.1'"), MOMENT), Entry("datetime(6)", "datetime", ("'2024-02-29 23:59:59'",), MOMENT),
    Entry("time", "time(3)", ("'-10:00:01'", "'838:59:59'"), CLOCK), Entry("time(2)", "time(6)", ("'-10:00:01.25'", "'-00:00:00.01'", "'1:2:3'"), CLOCK),
    Entry("timestamp null", "timestamp(3) null", ("'2001-01-01 00:00:00'",), STAMP), Entry("date", "datetime(2)", ("'2024-02-29'",), MOMENT),
    Entry("datetime(3)", "date", ("'2024-02-29 00:00:00'",), DAY), Entry("varchar(40)" + L1, "varchar(100)" + U4, ("'é€'", "''", "'abc'"), TEXT),
    Entry("varchar(100)" + U4, "varchar(40)" + L1, ("'é€'", "'abc'"), TEXT), Entry("char(9)" + L1, "text" + U4, ("'é'", "'ab'"), TEXT),
    Entry("text" + U4, "varchar(400)" + U4, ("'ä𝄞'", "REPEAT('x', 300)"), TEXT), Entry("varchar(50)" + U4, "varchar(500)" + U4, _LONG_TEXT[:2], TEXT),
    Entry("varchar(20) CHARACTER SET cp1251", "varchar(20)" + U4, ("'Привет'", "''"), TEXT), Entry("varchar(20) CHARACTER SET utf8mb3", "text" + U4, ("'ä€'",), TEXT),
    Entry("varchar(20) CHARACTER SET gbk", "varchar(20)" + U4, ("'中文'", "''"), TEXT), Entry("varchar(20) CHARACTER SET ucs2", "varchar(20)" + U4, ("'中文'", "'a'"), TEXT),
    Entry("varbinary(20)", "mediumblob", ("0x0001", "''"), BYTES), Entry("binary(4)", "binary(9)", ("0x00FF", "0x01020304"), "HEX(LEFT({c}, 4))"),
    Entry("binary(4)", "varbinary(9)", ("0x00FF",), BYTES), Entry("blob", "longtext" + U4, ("'abc'", "''"), BYTES, "HEX({c})"),
    Entry("enum('a','b')", "enum('b','c','a')", ("'a'", "'b'"), SHOWN), Entry("enum('a','b')", "enum('a','b','c')", ("'a'", "'b'"), SHOWN),
    Entry("set('a','b')", "set('z','b','a')", ("'a,b'", "'b'"), "FIND_IN_SET('a', {c}) > 0"), Entry("enum('ä','b')", "varchar(9)" + U4, ("'ä'", "'b'"), SHOWN),
    Entry("varchar(9)" + U4, "enum('ä','b')", ("'ä'", "'b'"), SHOWN), Entry("int", "varchar(20)" + U4, ("-5", "2147483647"), SHOWN),
    Entry("decimal(8,2)", "varchar(20)" + U4, ("-5.1", "0"), SHOWN), Entry("datetime(3)", "varchar(40)" + U4, ("'2024-02-29 23:59:59.5'",), SHOWN),
    Entry("json", "longtext" + U4, ("'{\"b\": 1, \"a\": [1.0, 1e20, -5]}'", "'\"x\"'"), SHOWN, sources=("mysql",)),
    Entry("longtext" + U4, "json", ("'{\"a\": [1, 2]}'", "'\"x\"'"), SHOWN, targets=("mysql",)),
    Entry("uuid", "char(36)" + U4, ("'123e4567-e89b-12d3-a456-426655440000'",), SHOWN, sources=("mariadb",)),
    Entry("inet6", "varchar(40)" + U4, ("'2001:db8::ff00:42:8329'",), SHOWN, sources=("mariadb",)),
    Entry("char(36)" + U4, "uuid", ("'123e4567-e89b-12d3-a456-426655440000'",), SHOWN, targets=("mariadb",)),
    Entry("point", "geometry", ("ST_GeomFromText('POINT(1 2)')",), "ST_AsText({c})"),
)  # fmt: skip


def fitting(source: str, target: str) -> list[Entry]:
    """Entries for a pairing of flavours."""
    return [e for e in POOL if source in e.sources and target in e.targets]
