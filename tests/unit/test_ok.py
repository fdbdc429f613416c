"""Session state in OK packets: recorded on MySQL 9.7 and MariaDB 10.11, read, and taken out for who did not ask."""

from __future__ import annotations

import pytest

from segue.wire import constants as c
from segue.wire.framing import packet
from segue.wire.ok import SCHEMA, VARIABLE, changes, split_state
from segue.wire.reply import IDLE, ReplyTracker

UPDATE = b"\x00\x02\x07\x02@\x00\x00&Records: 2  Duplicates: 0  Warnings: 0\x1a\x00\x18\tlast_gtid\r0-55559103-10"
PLAIN_UPDATE = b"\x00\x02\x07\x02\x00\x00\x00&Records: 2  Duplicates: 0  Warnings: 0"
NAMES = (
    b"\x00\x00\x00\x02@\x00\x00\x00_\x00 \x18character_set_connection\x06latin1\x00\x1c\x14character_set_client\x06latin1"
    b"\x00\x1d\x15character_set_results\x06latin1"
)
USE = b"\x00\x00\x00\x02@\x00\x00\x00\x07\x01\x05\x04shop"


class Heard:
    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def state_changed(self, block: bytes) -> None:
        self.blocks.append(block)

    def prepared(self, statement: bytes, parameters: int) -> None: ...


def test_recorded_packets() -> None:
    plain, block = split_state(UPDATE)
    assert plain == PLAIN_UPDATE
    assert list(changes(block)) == [(VARIABLE, b"last_gtid", b"0-55559103-10")]
    plain, block = split_state(USE)
    assert plain == b"\x00\x00\x00\x02\x00\x00\x00"
    assert list(changes(block)) == [(SCHEMA, b"", b"shop")]
    assert [name for _, name, _ in changes(split_state(NAMES)[1])] == [
        b"character_set_connection", b"character_set_client", b"character_set_results"
    ]
    assert split_state(PLAIN_UPDATE) == (PLAIN_UPDATE, b"")


@pytest.mark.parametrize("strip", [True, False])
def test_cut_anywhere_the_client_gets_whole_packets_of_its_kind(strip: bool) -> None:
    data = packet(UPDATE, 1) + packet(NAMES, 1) + packet(b"\0\0\0\2\0\0\0", 1)
    wanted = b"".join(packet(split_state(p)[0] if strip else p, 1) for p in (UPDATE, NAMES, b"\0\0\0\2\0\0\0"))
    for at in range(len(data) + 1):
        heard = Heard()
        tracker = ReplyTracker(heard)
        tracker.strip = strip
        for _ in range(3):
            tracker.expect(c.COM_QUERY)
        out = tracker.feed(data[:at]) + tracker.feed(data[at:])
        assert out == wanted
        assert tracker.state == IDLE
        assert tracker.status == c.AUTOCOMMIT
        assert len(heard.blocks) == 2
