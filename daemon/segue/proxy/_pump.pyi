from typing import Any, Literal

from segue.wire.reply import Snapshot

class Pair:
    state: int
    status: int

class Pump:
    armed: int
    commands: int
    def fileno(self) -> int: ...
    def arm(
        self, session: Any, client_fd: int, server_fd: int, state: Snapshot, deprecate_eof: bool, strip: bool,
        statements: dict[bytes, Any] | None, mapped: dict[bytes, bytes] | None, /,
    ) -> Pair: ...
    def disarm(self, pair: Pair, /) -> Snapshot: ...
    def run(self) -> list[tuple[Any, Literal[b"C", b"S", b"c", b"s", b"X"], bytes, Snapshot]]: ...

def walk(state: Snapshot, deprecate_eof: bool, strip: bool, chunk: bytes, /) -> Snapshot | None: ...
def passes(statements: dict[bytes, Any] | None, mapped: dict[bytes, bytes] | None, chunk: bytes, /) -> bytes | None: ...
