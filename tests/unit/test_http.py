"""Requests as bytes, and what is made of a status document."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from segue.admin import health, metrics, page
from segue.admin.http import BadRequest, host_of, is_loopback, parse

STEADY: dict[str, Any] = {
    "deployment": "shop", "version": "1", "phase": "steady", "active": "blue", "epoch": 3, "paused": False,
    "replication": {"state": "streaming", "direction": "blue -> green", "lag_seconds": 0.012, "transactions": 7, "rows": 9,
                    "source_position": "a:1-9", "applied_position": "a:1-9", "error": None, "mend": None,
                    "details": {"bytes": 100, "connects": 1}},
    "seed": None,
    "proxy": {"clients": 2, "in_transaction": 1, "held": 0, "dropped": 0, "relocated": 4, "accepted": 8,
              "listen": "127.0.0.1:6446", "refused": {"max_clients": 3}, "timed_out": {}, "pinned": [], "standby": None,
              "workers": [{"accepted": 8, "compiled": {"armed": 1, "commands": 5}}]},
    "verify": {"running": False, "progress": None, "continuous": None},
    "last_switchover": {"outcome": "done", "source": "green", "target": "blue", "started": 1764000000.5, "seconds": 0.8,
                        "pause_ms": 41.5, "dropped": 0, "relocated": 4, "errors": [],
                        "steps": [{"step": "hold", "ms": 3.0, "error": None}]},
    "switchover": None, "way_back": {"state": "open"}, "active_refuses_writes": None,
    "unreachable": {}, "short_of_room": {},
}  # fmt: skip


def changed(**paths: Any) -> dict[str, Any]:
    """STEADY with other values, keys with `__` for a level down."""
    value = copy.deepcopy(STEADY)
    for path, new in paths.items():
        *way, last = path.split("__")
        place = value
        for step in way:
            place = place[step]
        place[last] = new
    return value


@pytest.mark.parametrize("head", [
    b"", b"GET", b"GET /", b"GET / FTP/1.1", b"GET  / HTTP/1.1", b"G T / HTTP/1.1", b"GET / HTTP/1.1\r\nno colon",
    b"GET / HTTP/1.1\r\nHost : a", b"GET / HTTP/1.1\r\n folded: a", b"GET / HTTP/1.1\r\nHost: a\x00b",
    b"GET / HTTP/1.1\nHost: a\r\n", b"GET /\xff HTTP/1.1", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n: a",
])  # fmt: skip
def test_what_is_no_request(head: bytes) -> None:
    with pytest.raises(BadRequest) as told:
        parse(head)
    assert told.value.answer.status == 400


def test_a_request() -> None:
    request = parse(b"GET /metrics?a=/status HTTP/1.1\r\nHost: \tx:1 \r\nX-A: 1\r\nx-a: 2")
    assert (request.method, request.path, request.version) == ("GET", "/metrics", "HTTP/1.1")
    assert request.headers == {"host": ["x:1"], "x-a": ["1", "2"]}
    with pytest.raises(BadRequest) as told:
        parse(b"GET / HTTP/2.0")
    assert told.value.answer.status == 505


def test_hosts() -> None:
    assert [host_of(h) for h in ("A.example:80", "a.example.", "[::1]:9", "10.0.0.1", "localhost:1")] == [
        "a.example", "a.example", "::1", "10.0.0.1", "localhost"]  # fmt: skip
    assert [h for h in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "10.0.0.1", "::", "name") if is_loopback(h)] == [
        "localhost", "127.0.0.1", "127.9.9.9", "::1"]  # fmt: skip


@pytest.mark.parametrize(("paths", "reason"), [
    ({}, ""),
    ({"replication__state": "catching_up"}, ""),
    ({"replication__state": "stopped", "replication__error": "no such row"}, "replication is stopped: no such row"),
    ({"replication__state": "connecting", "replication__error": None}, "replication is connecting"),
    ({"replication__error": "the target has been at one batch for 60 s"}, "replication: the target has been"),
    ({"proxy__workers": []}, "1 of 1 proxy workers do not answer"),
    ({"proxy__workers": [{"held": 0, "waiting": []}]}, "1 of 1 proxy workers do not answer"),
    ({"paused": True}, "clients are paused"),
    ({"active_refuses_writes": "blue is read-only"}, "blue is read-only"),
    ({"short_of_room": {"green": "green: 1 sessions wait for room"}}, "green: 1 sessions wait for room"),
    ({"unreachable": {"green": "no answer"}}, "green cannot be reached: no answer"),
    ({"unreachable": {"green": "no answer"}, "way_back": {"state": "finalized", "side": "green"}}, ""),
    ({"unreachable": {"blue": "no answer"}, "way_back": {"state": "finalized", "side": "green"}}, "blue cannot be"),
    ({"phase": "unseeded", "replication__state": "idle"}, "has to be seeded"),
    ({"phase": "seeding"}, "being seeded"),
    ({"way_back": {"state": "lost", "side": "blue"}}, "blue was given up"),
    ({"way_back": {"state": "pending", "side": "blue"}}, "blue does not answer"),
    ({"way_back": {"state": "finalized", "side": "blue"}, "replication__state": "idle"}, ""),
    ({"switchover": {"state": "fenced", "errors": []}, "replication__state": "idle"}, ""),
    ({"switchover": {"state": "opening", "errors": ["open: no answer"]}}, "switchover opening: open: no answer"),
])  # fmt: skip
def test_health(paths: dict[str, Any], reason: str) -> None:
    told = health.reasons(changed(**paths), 1)
    assert (reason in told[0] and len(told) == 1) if reason else told == []


LINE = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"(,[a-z]+="(?:[^"\\\n]|\\["\\n])*")*\})? -?[0-9.e+-]+')


def test_metrics() -> None:
    text = metrics.render(changed(deployment='a"b\\c\nd', replication__state="odd"), ["ill"])
    lines = text.splitlines()
    assert text.endswith("\n")
    samples = [line for line in lines if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in samples), samples
    named = {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}
    assert named == {re.split("[{ ]", s)[0] for s in samples}
    assert len(named) == sum(line.startswith("# TYPE") for line in lines), "each once"
    for line in ("segue_healthy 0", "segue_replication_lag_seconds 0.012", "segue_switchover_pause_seconds 0.0415",
                 'segue_replication_state{state="odd"} 1', 'segue_replication_state{state="streaming"} 0',
                 'segue_proxy_refused_total{reason="max_clients"} 3', "segue_proxy_compiled_sessions 1",
                 'segue_switchover_step_seconds{step="hold"} 0.003', 'segue_active_side{side="blue"} 1'):  # fmt: skip
        assert line in samples
    assert 'segue_info{deployment="a\\"b\\\\c\\nd",version="1"} 1' in samples


def test_what_is_not_known_is_not_zero() -> None:
    text = metrics.render(changed(replication__lag_seconds=None, last_switchover=None), [])
    assert "lag_seconds" not in text
    assert "pause_seconds" not in text
    assert "segue_healthy 1" in text


def test_the_page_escapes_and_needs_nothing() -> None:
    bad = "<script>alert('1')</script>"
    text = page.render(
        changed(replication__error=bad, last_switchover__errors=[bad],
                proxy__pinned=[{"client": "1.2.3.4:5", "user": bad, "pinned": "has a lock"}]), [bad],
    )  # fmt: skip
    assert bad not in text
    assert text.count("&lt;script&gt;alert(&#x27;1&#x27;)") == 4
    assert not re.search(r"""(src|href|url|@import)\s*[=(]""", text), "from nowhere else"
    assert text.count("<script>") == text.count("<style>") == 1
