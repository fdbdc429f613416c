"""A DDL statement as it comes in the stream. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from segue.binlog.events import Query
from segue.replicate.ddl.session import Session
from segue.replicate.ddl.statement import Statement, classify

_SECRET = re.compile(r"(?i)\b(password|identified\s+by|connection|auth\w*)(\s*=?\s*)('(?:[^'\\]|''|\\.)*'|\"[^\"]*\")")
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Ddl:
    """What ran, where in the stream, and under which settings."""

    statement: Statement
    session: Session
    database: str
    at: str
    """Its GTID, or the file and offset behind it: what a restart knows it by."""

    @classmethod
    def read(cls, query: Query, timestamp: int, at: str) -> Ddl:
        """From a QUERY event. Raises BinlogError for status variables that are not known."""
        session = Session.parse(query.status, timestamp)
        text = session.decode(query.raw)
        if text is None:
            unknown = Statement("unknown", query.text, uncertain="its character set cannot be read here", schemas=None)
            return cls(unknown, session, query.database, at)
        statement = classify(text, query.database, session.sql_mode)
        if session.two_phases:
            statement = replace(statement, kind="unknown", schemas=None,
                                uncertain="it is half of an ALTER in two phases (binlog_alter_two_phase)")  # fmt: skip
        return cls(statement, session, query.database, at)

    @property
    def shown(self) -> str:
        """The statement for people: on one line, not endless, without secrets."""
        text = " ".join(_SECRET.sub(r"\1\2'***'", self.statement.text).split())
        return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
