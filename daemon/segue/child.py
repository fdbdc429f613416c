"""What all child processes of control do: keep secrets in, serve the channel, end when it closes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket

from segue.ipc import Channel, Handler

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """Credentials pass through this memory: no core dumps, no ptrace by the same user.

    A limit of 0 does not stop a core pattern that is a pipe, the flag does (core(5)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def give_way() -> None:
    """SCHED_BATCH for a process that wakes for a few microseconds at a time (sched(7)): on a busy machine it does not
    interrupt whoever runs, so more is ready when it does run. A policy that an operator chose is kept.

    Where a container's filter forbids it, all works without. docs/proxy.md has the gain.
    """
    with contextlib.suppress(PermissionError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


async def open_channel(fd: int, handler: Handler) -> Channel:
    """The channel on the inherited socket. A terminal's Ctrl-C is for control to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return await Channel.open(socket.socket(fileno=fd), handler)
