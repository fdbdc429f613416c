"""Who may come in: numbers from the configuration, and counts that all workers of a deployment share.

With several workers the limits mean the whole deployment. Each worker writes its own region of one shared memory
(`Ledger`) and reads everybody's; there is no lock, since a region has one writer. Two workers that admit in the same
instant may pass `max_clients` by one each.
"""

from __future__ import annotations

import ipaddress
import mmap
import os
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

from segue.wire.compression import Algorithm

_COUNT = struct.Struct("<Q")
_ENTRY = struct.Struct("<16sdQ")  # address, when the window began (monotonic seconds), failures in it
_WAYS: Final = 4
_SETS: Final = 256
_REGION: Final = 64 + _SETS * _WAYS * _ENTRY.size

Address = tuple[str, int]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Limits:
    """What one deployment allows. Seconds and counts; 0 is no limit."""

    max_clients: int = 0
    connect_timeout: float = 10.0
    idle_timeout: float = 0.0
    max_failed_logins: int = 0
    failed_login_window: float = 60.0
    proxy_protocol_from: tuple[Network, ...] = field(default=())
    compression: tuple[Algorithm, ...] = ("zlib", "zstd")
    """What clients are offered."""

    @classmethod
    def from_message(cls, value: dict[str, Any]) -> Limits:
        lists: dict[str, Any] = {}
        if "proxy_protocol_from" in value:
            lists["proxy_protocol_from"] = tuple(ipaddress.ip_network(text) for text in value["proxy_protocol_from"])
        if "compression" in value:
            lists["compression"] = tuple(value["compression"])
        return cls(**(value | lists))

    def message(self) -> dict[str, Any]:
        """For status."""
        return {
            "max_clients": self.max_clients, "connect_timeout": self.connect_timeout,
            "idle_timeout": self.idle_timeout, "max_failed_logins": self.max_failed_logins,
            "failed_login_window": self.failed_login_window,
            "proxy_protocol_from": [str(n) for n in self.proxy_protocol_from], "compression": list(self.compression),
        }  # fmt: skip

    def trusts(self, host: str) -> bool:
        """Whether this peer's connections begin with a PROXY header."""
        if not self.proxy_protocol_from:
            return False
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self.proxy_protocol_from)


def show(address: Address) -> str:
    """host:port as logs and status give it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shared_memory(workers: int) -> int:
    """A file descriptor of memory for so many workers' regions, all zero."""
    handle = os.memfd_create("segue-ledger")
    os.ftruncate(handle, workers * _REGION)
    return handle


class Ledger:
    """Counts of this worker, `number`, and sums over all. Without a descriptor it is alone."""

    __slots__ = ("_base", "_memory", "_regions")

    def __init__(self, number: int = 0, handle: int | None = None) -> None:
        if handle is None:
            self._memory: bytearray | mmap.mmap = bytearray((number + 1) * _REGION)
        else:
            self._memory = mmap.mmap(handle, 0)
        self._base = number * _REGION
        self._regions = range(0, len(self._memory), _REGION)
        self.clients(0)  # an earlier process of this number left its own count

    def clients(self, count: int) -> None:
        """Note how many clients this worker has."""
        _COUNT.pack_into(self._memory, self._base, count)

    def all_clients(self) -> int:
        memory = self._memory
        return sum(_COUNT.unpack_from(memory, region)[0] for region in self._regions)

    def failed(self, host: str, now: float, window: float) -> int:
        """One more failed login from this address; how many there are in its window.

        A set holds four addresses and the oldest gives way: an attack from thousands of addresses at once makes
        the count forget, never grow.
        """
        key = _key(host)
        oldest, oldest_at = 0, float("inf")
        for at in self._entries(self._base, key):
            known, began, count = _ENTRY.unpack_from(self._memory, at)
            if known == key:
                alive = now - began < window
                began, count = (began, count + 1) if alive else (now, 1)
                _ENTRY.pack_into(self._memory, at, key, began, count)
                break
            if began < oldest_at:
                oldest, oldest_at = at, began
        else:
            _ENTRY.pack_into(self._memory, oldest, key, now, 1)
        return self.failures(host, now, window)[0]

    def failures(self, host: str, now: float, window: float) -> tuple[int, float]:
        """(failed logins from this address in all workers, seconds until the earliest of them is forgotten)."""
        key = _key(host)
        total, left = 0, 0.0
        for region in self._regions:
            for at in self._entries(region, key):
                known, began, count = _ENTRY.unpack_from(self._memory, at)
                if known == key and now - began < window:
                    total += count
                    left = max(left, window - (now - began))
                    break
        return total, left

    @staticmethod
    def _entries(region: int, key: bytes) -> range:
        start = region + 64 + zlib.crc32(key) % _SETS * _WAYS * _ENTRY.size
        return range(start, start + _WAYS * _ENTRY.size, _ENTRY.size)


def _key(host: str) -> bytes:
    """An IPv4 address, or the /64 an IPv6 address is in: one subscriber has all of it."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.encode()[:16].ljust(16, b"\0")
    if address.version == 6 and address.ipv4_mapped is None:
        return address.packed[:8].ljust(16, b"\1")
    four = address if address.version == 4 else address.ipv4_mapped
    assert four is not None
    return four.packed.ljust(16, b"\0")
