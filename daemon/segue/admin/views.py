"""How status, findings and reports look on a terminal. Pure: documents in, rich renderables out."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

__all__ = ["escape", "findings", "report", "status"]


_WHY = {
    "max_clients": "refused over max_clients", "failed_logins": "refused for failed logins",
    "proxy_protocol": "refused for their PROXY header", "connect": "closed before login", "idle": "closed while idle",
}  # fmt: skip


def status(value: dict[str, Any]) -> RenderableType:
    replication, proxy, last = value["replication"], value["proxy"], value["last_switchover"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    phase = value["phase"] + (" (clients paused)" if value.get("paused") else "")
    table.add_row("deployment", escape(value["deployment"]))
    table.add_row("phase", phase)
    table.add_row("active", f"[bold {value['active']}]{value['active']}[/]")
    lag = replication.get("lag_seconds")
    lag_text = "" if lag is None else f", lag {float(lag):.3f} s"
    colour = {"streaming": "green", "stopped": "red"}.get(str(replication["state"]), "yellow")
    table.add_row(
        "replication",
        f"[{colour}]{replication['state']}[/] {replication.get('direction') or ''}{lag_text},"
        f" {replication.get('transactions') or 0} transactions, {replication.get('rows') or 0} rows",
    )
    if replication.get("error"):
        table.add_row("", f"[red]{escape(str(replication['error']))}[/]")
        if replication.get("mend"):
            table.add_row("", f"-> {escape(str(replication['mend']))}")
    table.add_row("received", escape(str(replication.get("source_position") or "-")))
    table.add_row("applied", escape(str(replication.get("applied_position") or "-")))
    table.add_row(
        "clients",
        f"{proxy['clients']} ({proxy['in_transaction']} in a transaction, {proxy['held']} held,"
        f" {proxy['dropped']} dropped so far) on {proxy['listen']}",
    )
    turned_away = {**proxy.get("refused", {}), **proxy.get("timed_out", {})}
    if any(turned_away.values()):
        table.add_row("", ", ".join(f"{n} {_WHY[k]}" for k, n in turned_away.items() if n and k in _WHY))
    if last:
        pause = "" if last.get("pause_ms") is None else f", pause {last['pause_ms']} ms"
        table.add_row("last switchover", f"{last['outcome']} {last['source']} -> {last['target']}{pause}")
        for error in last["errors"]:
            table.add_row("", f"[red]{escape(error)}[/]")
    return table


def findings(values: list[dict[str, Any]]) -> RenderableType:
    if not values:
        return "[green]nothing stands in the way[/green]"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "guardrail", "what is wrong", "mend"):
        table.add_column(column)
    for f in sorted(values, key=lambda f: str(f["severity"])):
        mark = "[red]blocks[/]" if f["severity"] == "blocks" else "[yellow]warns[/]"
        table.add_row(mark, f["id"], escape(f["sentence"]), escape(f["mend"]))
    return table


def report(value: dict[str, Any]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("step")
    table.add_column("ms", justify="right")
    table.add_column("")
    for step in value["steps"]:
        table.add_row(step["step"], f"{step['ms']:.1f}", f"[red]{escape(step['error'])}[/]" if step["error"] else "")
    colour = "green" if value["outcome"] == "done" else "red"
    head = f"[{colour}]{value['outcome']}[/]: {value['source']} -> {value['target']}"
    tail = f"clients were held for {value['pause_ms']} ms, {value['dropped']} dropped, {value['relocated']} moved over"
    places = (
        f"last position on {value['source']}: {value['source_position']}\n"
        f"first position on {value['target']}: {value['target_position']}"
    )
    return Group(head, table, tail, escape(places))
