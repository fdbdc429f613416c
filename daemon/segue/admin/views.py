"""How status, findings and reports look on a terminal. Pure: documents in, rich renderables out."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

__all__ = ["dry_run", "escape", "findings", "report", "seed", "status", "tables"]


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
    if standby := proxy.get("standby"):
        text = f"{standby['clients']} on {standby['listen']}, to {standby['side']}, the standby (read-only)"
        table.add_row("looking at standby", escape(text))
    turned_away = {**proxy.get("refused", {}), **proxy.get("timed_out", {})}
    if any(turned_away.values()):
        table.add_row("", ", ".join(f"{n} {_WHY[k]}" for k, n in turned_away.items() if n and k in _WHY))
    for session in proxy.get("pinned", ())[:10]:
        table.add_row("pinned", escape(f"{session['client']} user {session['user']} {session['pinned']}"))
    _seed(table, value.get("seed"))
    table.add_row("way back", _way_back(value["way_back"]))
    if value.get("active_refuses_writes"):
        table.add_row("", f"[red]{escape(value['active_refuses_writes'])}[/]")
    for side, why in value.get("unreachable", {}).items():
        table.add_row("", f"[red]{escape(side)} cannot be reached: {escape(why)}[/]")
    for why in value.get("short_of_room", {}).values():
        if why != value.get("active_refuses_writes"):
            table.add_row("", f"[red]{escape(why)}[/]")
    if (now := value.get("switchover")) is not None:
        for text in (*now["errors"][-3:], *(f"-> {m}" for m in now["mend"][-3:])):
            table.add_row("", f"[red]{escape(text)}[/]")
    if last:
        pause = "" if last.get("pause_ms") is None else f", pause {last['pause_ms']} ms"
        table.add_row("last switchover", f"{last['outcome']} {last['source']} -> {last['target']}{pause}")
        for error in last["errors"]:
            table.add_row("", f"[red]{escape(error)}[/]")
    return table


def _seed(table: Table, filling: dict[str, Any] | None) -> None:
    if not filling or filling["state"] == "done":
        return
    left = "" if filling["seconds_left"] is None else f", {filling['seconds_left']:.0f} s left"
    table.add_row("seed", f"{filling['state']} {filling['percent']} %, {filling['rows']} rows,"
                          f" {filling['bytes_per_second'] / 1e6:.1f} MB/s{left}")  # fmt: skip
    for word in (filling["error"], filling["waits_for"]):
        if word:
            table.add_row("", f"[yellow]{escape(str(word))}[/]")


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


_SHOWN = 50
_PLANS = {
    "pass": "[green]passed on[/]", "transcode": "[cyan]re-written[/]", "sql": "[yellow]by statements[/]", "stop": "[red]stops[/]",
}  # fmt: skip
_KINDS = {"carried": "[green]carried[/]", "lossy": "[yellow]lossy[/]", "blocked": "[red]blocked[/]"}


def tables(values: list[dict[str, Any]]) -> RenderableType:
    """Each table's plan and findings, both ways; those that need nothing are only counted."""
    parts: list[RenderableType] = []
    quiet = more = 0
    for value in values:
        back = value["back"] or {"plan": "stop", "findings": [], "why": [], "columns": {}}
        if not (value["findings"] or back["findings"]) and value["plan"] == back["plan"] == "pass":
            quiet += 1
            continue
        if len(parts) >= 2 * _SHOWN:
            more += 1
            continue
        name = value["table"] if value["table"] == value["target"] else f"{value['table']} -> {value['target']}"
        parts.append(f"[bold]{escape(name)}[/]  {_PLANS[value['plan']]}, way back {_PLANS[back['plan']]}")
        parts.append(_table_of(value, back))
    if more:
        parts.append(f"and {more} more tables that differ: --json has all")
    if quiet:
        parts.append(f"{quiet} tables are the same on both sides and passed on as they are")
    return Group(*parts, "") if parts else ""


def _table_of(value: dict[str, Any], back: dict[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for width in (10, 10, None):
        grid.add_column(min_width=width)
    for column, how in value["columns"].items():
        if how != "same":
            grid.add_row("  column", escape(column), escape(how))
    for way, one in (("  there", value), ("  back", back)):
        for reason in one["why"]:
            grid.add_row(way, _PLANS["sql"], escape(reason))
        for f in one["findings"]:
            if f["kind"] != "carried":
                text = escape(f["sentence"]) + (f"\n-> {escape(f['mend'])}" if f["mend"] else "")
                grid.add_row(way, _KINDS[f["kind"]], text)
    return grid


def dry_run(value: dict[str, Any]) -> RenderableType:
    if "forced" in value:
        return f"[yellow]{escape(value['forced']['words'])}[/]"
    seen = value["forecast"]
    basis = f"measured over {seen['measured']} switchovers" if seen["measured"] else "no switchover was measured yet"
    return Group(
        findings(value["findings"]),
        f"[green]a switchover is possible now[/green]; clients would be held for about {seen['ms']:.0f} ms ({basis}):"
        f" to a safe point {seen['drain_ms']:.0f}, catching up {seen['catch_up_ms']:.0f}, the rest {seen['fixed_ms']:.0f},"
        f" for more sessions than measured {seen['sessions_ms']:.0f}",
    )


def _way_back(value: dict[str, Any]) -> str:
    state = value["state"]
    if state == "pending":
        return f"[yellow]pending[/]: {value['side']} does not answer; it is made to follow when it does"
    if state == "finalized":
        return f"[yellow]finalized[/]: {value['side']} is not fed any more since {value['position']}"
    if state == "lost":
        listed = value.get("transactions")
        more = "it is not back yet" if listed is None else f"{len(listed)} transactions of it were lost: {_listed(listed)}"
        return f"[red]lost[/]: {value['side']} was given up and needs a seed; {more}"
    return str(state)


def _listed(transactions: list[dict[str, Any]]) -> str:
    shown = ", ".join(f"{t['gtid']} ({' '.join(t['tables'])})" for t in transactions[:5])
    return escape(shown) + (" ..." if len(transactions) > 5 else "")


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
    words = [escape(value["forced"]["words"])] if value.get("forced") else []
    words += [f"still on {value['source']}: {escape(s)}" for s in value.get("left_on_the_old_side", [])]
    places = (
        f"last position on {value['source']}: {value['source_position']}\n"
        f"first position on {value['target']}: {value['target_position']}"
    )
    return Group(head, table, tail, escape(places), *words)


def seed(value: dict[str, Any]) -> RenderableType:
    """What `segue seed` ended with."""
    if "tables" not in value:
        return "the seed has begun; segue seed --follow shows how far it is"
    text = f"{value['state']}: {len(value['tables'])} tables, {value['rows']} rows, {value['bytes'] / 1e6:.1f} MB"
    return Group(text, *(f"[yellow]note[/yellow] {escape(n)}" for n in value["notes"]))
