"""The status page: one HTML document without anything from elsewhere, made from a status document. Pure.

The server writes the whole page and escapes every value; the script does no more than fetch the page again and say so
when there is no answer. `POLICY` allows this style and this script, by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .3rem}
table{border-collapse:collapse;width:100%}td,th{padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top;overflow-wrap:anywhere}th{font-weight:normal;opacity:.7;width:12rem}
.num{font-variant-numeric:tabular-nums}.good{color:#0a7d33}.bad{color:#c62828}
@media(prefers-color-scheme:dark){.good{color:#5fd38a}.bad{color:#ff8a80}}
p{margin:.3rem 0}footer{margin-top:2rem;opacity:.6}
"""
_SCRIPT: Final = """
"use strict";
const late = document.getElementById("late");
async function again() {
  try {
    const answer = await fetch(location.pathname, {cache: "no-store", signal: AbortSignal.timeout(8000)});
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
    late.hidden = true;
  } catch (error) { late.hidden = false; }
  setTimeout(again, 2000);
}
setTimeout(again, 2000);
"""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY: Final = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render(value: dict[str, Any], ill: list[str]) -> str:
    """`value` is a status document, `ill` what `health.reasons` says of it."""
    name = escape(str(value["deployment"]))
    parts = [_head(value, ill), _replication(value["replication"]), _proxy(value["proxy"]), _last(value["last_switchover"])]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>segue: {name}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>"
        f'<main>{"".join(parts)}<footer>segue {escape(str(value["version"]))}, {_clock(time.time())}</footer></main>'
        '<p id="late" class="bad" hidden>No answer from the daemon; trying again.</p>'
        '<noscript><p>Without scripts this page does not refresh by itself.</p></noscript>'
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    """Two columns; what is None or empty is left out."""
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="num">{escape(str(text))}</td></tr>'
        for name, text in rows if text is not None and text != ""
    )  # fmt: skip
    return f"<table>{cells}</table>"


def _words(texts: Iterable[str], kind: str = "bad") -> str:
    return "".join(f'<p class="{kind}">{escape(t)}</p>' for t in texts)


def _head(value: dict[str, Any], ill: list[str]) -> str:
    verdict = _words(ill) if ill else _words(["Clients are served and the standby is fed."], "good")
    now, seed, back = value["switchover"], value["seed"], value["way_back"]
    rows = [
        ("phase", value["phase"] + (" (clients paused)" if value["paused"] else "")), ("active", value["active"]),
        ("switchover", f"{now['source']} to {now['target']}, since {_clock(now['started'])}" if now else None),
        ("seed", f"{seed['state']}, {seed['percent']} %" if seed and seed["state"] != "done" else None),
        ("way back", back["state"]), ("epoch", value["epoch"]),
    ]  # fmt: skip
    return f"<h1>segue: {escape(str(value['deployment']))}</h1>{verdict}{_table(rows)}"


def _replication(value: dict[str, Any]) -> str:
    lag = value.get("lag_seconds")
    rows = [
        ("state", value["state"]), ("direction", value.get("direction")), ("lag", None if lag is None else f"{lag:.3f} s"),
        ("transactions", value.get("transactions")), ("row events", value.get("rows")),
        ("received", value.get("source_position")), ("applied", value.get("applied_position")),
        ("error", value.get("error")), ("what to do", value.get("mend")),
    ]  # fmt: skip
    return f"<h2>Replication</h2>{_table(rows)}"


def _proxy(value: dict[str, Any]) -> str:
    rows: list[tuple[str, Any]] = [("listens on", value["listen"]), ("worker processes", len(value.get("workers", ())))]
    for key, words in (("clients", "clients"), ("in_transaction", "in a transaction"), ("held", "held"),
                       ("accepted", "accepted so far"), ("dropped", "dropped so far"), ("relocated", "moved so far")):  # fmt: skip
        rows.append((words, value[key]))
    turned_away = {**value.get("refused", {}), **value.get("timed_out", {})}
    rows += [(f"turned away: {k}", n) for k, n in sorted(turned_away.items()) if n]
    rows += [("pinned", f"{s['client']}, user {s['user']}: {s['pinned']}") for s in value.get("pinned", ())[:10]]
    if standby := value.get("standby"):
        rows.append(("standby's port", f"{standby['listen']}, {standby['clients']} clients on {standby['side']}"))
    return f"<h2>Clients</h2>{_table(rows)}"


def _last(value: dict[str, Any] | None) -> str:
    if value is None:
        return "<h2>Last switchover</h2><p>There was none.</p>"
    pause = value["pause_ms"]
    rows: list[tuple[str, Any]] = [
        ("outcome", f"{value['outcome']}, {value['source']} to {value['target']}"), ("began", _clock(value["started"])),
        ("took", f"{value['seconds']} s"), ("clients held for", None if pause is None else f"{pause} ms"),
        ("dropped", value["dropped"]), ("moved", value["relocated"]),
    ]  # fmt: skip
    rows += [(str(s["step"]), f"{s['ms']} ms" + (f": {s['error']}" if s["error"] else "")) for s in value["steps"]]
    return f"<h2>Last switchover</h2>{_words(value['errors'])}{_table(rows)}"
