"""sd_notify(3): READY, RELOADING, STOPPING, STATUS and the watchdog, as datagrams to $NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
import time


def notify(*lines: str) -> None:
    """Tell systemd; nothing happens where it did not start us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto("\n".join(lines).encode(), address)
        except OSError:
            return


def reloading() -> None:
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds() -> float | None:
    """Half of the watchdog's time, which sd_watchdog_enabled(3) asks for; None without one."""
    value = os.environ.get("WATCHDOG_USEC")
    return int(value) / 2e6 if value and value.isdigit() else None
