"""`python -m lab up [blue] [green]`: a pair of servers in the foreground until Ctrl-C; `python -m lab fetch`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys

from lab.accounts import create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from lab.fetch import SETS, LabError, rootfs
from lab.server import Lab

FLAVOURS = ("mysql", "mariadb")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a pair; it ends with this process")
    up.add_argument("blue", nargs="?", default="mysql", choices=FLAVOURS)
    up.add_argument("green", nargs="?", default="mysql", choices=FLAVOURS)
    up.add_argument("--schema", default="shop")
    fetch = commands.add_parser("fetch", help="fetch package sets into the cache")
    fetch.add_argument("sets", nargs="*", choices=[*SETS, []], default=[])
    args = parser.parse_args()
    try:
        if args.command == "fetch":
            for name in args.sets or SETS:
                print(f"{name}: {rootfs(name)}")
            return 0
        return _up(args.blue, args.green, args.schema)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _up(blue: str, green: str, schema: str) -> int:
    with Lab() as lab:
        for label, server in zip(("blue", "green"), lab.pair(blue, green), strict=True):  # type: ignore[arg-type]
            create_accounts(server, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=(schema,))
            print(f"{label}: {server.version}, 127.0.0.1:{server.port}, socket {server.socket}, root without password")
        print(f"accounts: segue / {SEGUE_PASSWORD}, app / {APP_PASSWORD} on schema {schema}. Ctrl-C ends both.")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
