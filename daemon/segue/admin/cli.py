"""The `segue` command. Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 daemon not reachable.

What only some commands need is imported where it is used: a command that asks the daemon has answered by then.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from segue import __version__
from segue.admin import views
from segue.admin.client import NotRunning, ask
from segue.errors import SegueError

app = typer.Typer(
    name="segue", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Change the production MySQL or MariaDB database under a running application.",
)  # fmt: skip
out, err = Console(), Console(stderr=True)

ConfigOption = Annotated[Path | None, typer.Option("-c", "--config", help="The configuration file.", metavar="FILE")]
SocketOption = Annotated[Path | None, typer.Option("--socket", help="The daemon's admin socket.", metavar="PATH")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AllowOption = Annotated[
    list[str] | None, typer.Option("--allow", help="Pass over this guardrail; once for each id.", metavar="ID")
]
TimeoutOption = Annotated[float | None, typer.Option("--timeout", min=0.1, help="Give up after so many seconds.")]


class UsageError(SegueError):
    """The command line itself is wrong."""


def _socket(config: Path | None, path: Path | None) -> Path:
    if path is not None:
        return path
    if config is None:
        raise UsageError("give -c FILE or --socket PATH", mend="For example: segue status -c /etc/segue/segue.toml")
    from segue.config import load

    return load(config).admin.socket


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str) + b"\n")
    sys.stdout.flush()


def _command(
    command: str, config: Path | None, path: Path | None, *, json: bool, args: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Ask the daemon, with its progress on a terminal."""

    def progress(facts: dict[str, Any]) -> None:
        if not json and err.is_terminal:
            err.print(f"[dim]{facts['phase']} ...[/dim]")

    return ask(_socket(config, path), command, args, progress)


@app.callback()
def _top() -> None:
    """Every command takes -c FILE or --socket PATH."""


@app.command()
def version() -> None:
    """Print the version."""
    out.print(f"segue {__version__}", highlight=False)


@app.command()
def run(config: Annotated[Path, typer.Option("-c", "--config", help="The configuration file.", metavar="FILE")]) -> None:
    """Run the daemon in the foreground."""
    from segue.daemon import run as run_daemon  # only this command needs uvloop and the rest

    run_daemon(config)


@app.command()
def status(
    config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second until Ctrl-C.")] = False,
) -> None:  # fmt: skip
    """Show what the daemon does now."""
    value = _command("status", config, socket, json=json)
    if json:
        _print_json(value)
    elif watch:
        from rich.live import Live

        with Live(views.status(value), console=out, refresh_per_second=4) as live:
            while True:
                time.sleep(1.0)
                live.update(views.status(_command("status", config, socket, json=True)))
    else:
        out.print(views.status(value))


@app.command()
def check(config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False) -> None:
    """Run every guardrail, print what stands in the way of a switchover and what becomes of each table."""
    if socket is not None:
        found = ask(socket, "check")
    elif config is not None:
        import asyncio

        found = asyncio.run(_check_here(config))
    else:
        raise UsageError("give -c FILE or --socket PATH")
    blocking = [f for f in found["findings"] if f["severity"] == "blocks"]
    if json:
        _print_json({"ok": not blocking, **found})
    else:
        out.print(views.tables(found["tables"]))
        out.print(views.findings(found["findings"]))
    if blocking:
        raise typer.Exit(1)


async def _check_here(path: Path) -> dict[str, Any]:
    """Guardrails without a daemon: before the first start, or beside one."""
    from segue.config import load
    from segue.log import configure
    from segue.roles import Roles
    from segue.switchover import guardrails
    from segue.switchover.server import Server

    configure(process="cli", level="warning")
    config = load(path)
    roles = Roles.of(config, _active_label(config.admin.socket))
    source, target = Server(roles.active), Server(roles.standby)
    try:
        context = guardrails.Context(config, source, target)
        found = await guardrails.run(context)
        tables = await guardrails.tables_report(context)
    finally:
        await source.close()
        await target.close()
    return {"findings": [f.message() for f in found], "tables": tables}


def _active_label(socket: Path) -> str:
    """The daemon knows which side is active; without one, blue is where everything begins."""
    try:
        return str(ask(socket, "status")["active"])
    except NotRunning:
        return "blue"


@app.command()
def seed(  # noqa: PLR0917 - typer's way to say options
    config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False,
    users: Annotated[bool, typer.Option("--users", help="Copy accounts and their grants too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace tables of the standby that hold rows.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Fill a standby anew that was filled before.")] = False,
    clone: Annotated[bool, typer.Option("--clone", help="Copy the whole server by MySQL's CLONE plugin.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Come back at once; the daemon goes on.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Copy nothing for now.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after --pause.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give up; the standby stays empty.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Watch a seed that is under way.")] = False,
) -> None:  # fmt: skip
    """Fill the empty standby from the active side while that is in use."""
    from segue.admin.seeding import run_seed

    chosen = [n for n, on in (("pause", pause), ("resume", resume), ("cancel", cancel), ("follow", follow)) if on]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} do not go together")
    options = {"users": users, "overwrite": overwrite, "again": again, "clone": clone}
    value = run_seed(_socket(config, socket), chosen[0] if chosen else "start", options, err,
                     bars=not json and err.is_terminal, wait=not detach)  # fmt: skip
    if json:
        _print_json(value)
    else:
        out.print(views.seed(value))


@app.command()
def pause(
    config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False, timeout: TimeoutOption = None
) -> None:
    """Hold all clients at safe points, until `segue resume` or proxy.max_pause (--timeout) is over."""
    value = _command("pause", config, socket, json=json, args={"timeout": timeout})
    _show(value, f"{value['held']} clients held, for {value['released_after_seconds']:g} s at most", json=json)


@app.command()
def resume(config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False) -> None:
    """Release the clients that `segue pause` holds."""
    _show(_command("resume", config, socket, json=json), "clients released", json=json)


@app.command(name="skip-ddl")
def skip_ddl(config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False) -> None:
    """Go on behind the DDL statement at which replication stands: it was dealt with, or is not wanted."""
    value = _command("skip-ddl", config, socket, json=json)
    _show(value, f"skipped: {value['skipped']}", json=json)


@app.command()
def switchover(  # noqa: PLR0917 - typer wants options as parameters
    config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False, timeout: TimeoutOption = None,
    allow: AllowOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="The active side is dead: give it up, with what it had.")] = False,
) -> None:  # fmt: skip
    """Swap the roles: the standby becomes active, clients follow, the old active side becomes the standby."""
    args = {"timeout": timeout, "dry_run": dry_run, "allow": allow or [], "force": force}
    value = _command("switchover", config, socket, json=json, args=args)
    if json:
        _print_json(value)
    elif dry_run:
        out.print(views.dry_run(value))
    else:
        out.print(views.report(value))


@app.command()
def rollback(
    config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False, timeout: TimeoutOption = None,
    allow: AllowOption = None,
) -> None:  # fmt: skip
    """Switch back; or abort a switchover that has not committed."""
    value = _command("rollback", config, socket, json=json, args={"timeout": timeout, "allow": allow or []})
    if json:
        _print_json(value)
    else:
        out.print(views.report(value))


@app.command()
def finalize(config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False) -> None:
    """End the way back: the old side is not fed any more, and no rollback is possible."""
    value = _command("finalize", config, socket, json=json)
    _show(value, f"finalised at {value['position']}: {value['means']}", json=json)


@app.command()
def reload(config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False) -> None:
    """Make the daemon read its configuration again."""
    value = _command("reload", config, socket, json=json)
    _show(value, f"reloaded, changed: {', '.join(value['changed']) or 'nothing'}", json=json)


@app.command()
def verify(
    config: ConfigOption = None, socket: SocketOption = None, json: JsonOption = False,
    table: Annotated[list[str] | None, typer.Option("--table", help="Only this schema.table; * and ? are allowed.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Copy rows that differ from the active side.")] = False,
) -> None:  # fmt: skip
    """Compare every row of both sides while they are in use; exit code 0 when they are equal, else 1."""
    from segue.admin import comparing

    with comparing.bar(err, shown=not json and err.is_terminal) as show:
        value = ask(_socket(config, socket), "verify", {"tables": table or [], "repair": repair}, show)
    if json:
        _print_json(value)
    else:
        out.print(comparing.result(value))
    if not value["equal"]:
        raise typer.Exit(1)


def _show(value: dict[str, Any], text: str, *, json: bool) -> None:
    if json:
        _print_json(value)
    else:
        out.print(text, highlight=False)


def main() -> None:
    """The console script."""
    json = "--json" in sys.argv
    try:
        app(standalone_mode=True)
    except SegueError as error:
        if json:
            _print_json({"ok": False, "error": error.message, "mend": error.mend})
        err.print(f"[red]segue:[/red] {views.escape(error.message)}", soft_wrap=True, highlight=False)
        if error.mend:
            err.print(f"  -> {views.escape(error.mend)}", soft_wrap=True, highlight=False)
        sys.exit(3 if isinstance(error, NotRunning) else 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
