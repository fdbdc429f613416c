"""What all child processes of control do: keep secrets in, serve the channel, end when it closes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import socket
import struct

from segue.ipc import Channel, Handler

_PR_SET_DUMPABLE = 4
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""The call's number by machine; the C library and Python have no function for it."""
_SCHED_ATTR = struct.Struct("<IIQiIQQQ")
"""size, policy, flags, nice, priority, runtime, deadline, period (sched_setattr(2)), the first version's 48 bytes."""
_SHORT_TURN = 100_000
"""Nanoseconds, the shortest that there is."""


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


def short_turns() -> None:
    """For a process that others wait for: it asks the scheduler for short turns, and gets them sooner (Linux 6.12 or newer;
    older kernels take no notice of the runtime of an ordinary policy). docs/row-path.md has what that does to the lag.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attr = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, _SHORT_TURN, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attr, 0)  # all works without it, too: a refusal is no error


async def open_channel(fd: int, handler: Handler) -> Channel:
    """The channel on the inherited socket. A terminal's Ctrl-C is for control to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return await Channel.open(socket.socket(fileno=fd), handler)
