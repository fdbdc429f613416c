"""Logs: structlog, readable on a terminal and one JSON object per line elsewhere (to stderr, for journald).

Enters: a name and key-value facts. Secrets never: values under a key that names one are replaced.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import orjson
import structlog

_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR"})
_SECRET_KEYS = frozenset({"password", "passwd", "secret", "token", "auth", "scramble"})


def _hide_secrets(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Last line of defence: nobody should log a secret, and if somebody does it does not get out."""
    for key in event:
        if key in _SECRET_KEYS:
            event[key] = "(hidden)"
    return event


def _to_json(event: Any, **_kw: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def configure(*, process: str, level: str | None = None, json: bool | None = None) -> None:
    """Set up logging for this process. `json=None`: console on a terminal, JSON otherwise.

    Without `level` it is SEGUE_LOG_LEVEL (debug, info, warning, error), which children inherit, or info.
    """
    named = (level or os.environ.get("SEGUE_LOG_LEVEL") or "info").upper()
    number = getattr(logging, named) if named in _LEVELS else logging.INFO
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    tail: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=shared + tail,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def get_logger(name: str) -> Any:
    """A logger whose lines carry `room=name`."""
    return structlog.get_logger(room=name)
