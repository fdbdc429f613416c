"""`segue run`: control under uvloop, with signals, the admin socket and systemd around it."""

from __future__ import annotations

import asyncio
import resource
import signal
from pathlib import Path

import uvloop

from segue.admin import systemd
from segue.admin.http import HttpServer
from segue.admin.server import DEFAULT_TIMEOUT, AdminServer
from segue.child import harden
from segue.control import Control
from segue.errors import SegueError
from segue.log import configure, get_logger

log = get_logger("daemon")


def run(path: Path) -> None:
    """Run until told to stop. Raises SegueError when it cannot start, with nothing changed."""
    harden()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    configure(process="control")
    uvloop.run(_main(path))


async def _main(path: Path) -> None:
    control = Control(path)
    settings = control.config.admin
    admin = AdminServer(control, settings.socket)
    http = HttpServer(control, settings.http, settings.http_hosts) if settings.http is not None else None
    stop = asyncio.Event()
    await admin.start()
    try:
        if http is not None:
            await http.start()
        await control.start()
        _signals(control, stop)
        systemd.notify("READY=1", f"STATUS=active: {control.journal.active}")
        log.info("up", deployment=control.deployment, active=control.journal.active,
                 listen=control.config.proxy.listen, http=settings.http)  # fmt: skip
        if (seconds := systemd.watchdog_seconds()) is not None:
            control.spawn(_feed_watchdog(seconds))
        waits = {asyncio.create_task(stop.wait()), asyncio.create_task(control.end.wait())}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping: clients leave at safe points")
    finally:
        systemd.notify("STOPPING=1")
        if http is not None:
            await http.stop()
        await control.stop()
        await admin.stop()
    if control.ended is not None:
        raise control.ended


async def _feed_watchdog(seconds: float) -> None:
    while True:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(seconds)


def _signals(control: Control, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    async def swap(*, back: bool) -> None:
        try:
            report = await (control.rollback if back else control.switchover)(DEFAULT_TIMEOUT)
            log.info("switchover", outcome=report["outcome"], pause_ms=report.get("pause_ms"),
                     active=control.journal.active)  # fmt: skip
        except SegueError as error:
            log.error("switchover refused or aborted", reason=error.message, mend=error.mend)  # noqa: TRY400 - expected

    async def reload() -> None:
        systemd.reloading()
        try:
            log.info("reloaded", **(await control.reload()))
        except SegueError as error:
            log.error("not reloaded", reason=error.message, mend=error.mend)  # noqa: TRY400 - expected
        systemd.notify("READY=1")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: control.spawn(swap(back=False)))
    loop.add_signal_handler(signal.SIGUSR2, lambda: control.spawn(swap(back=True)))
    loop.add_signal_handler(signal.SIGHUP, lambda: control.spawn(reload()))
