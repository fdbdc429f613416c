"""Commands of our own on a server connection, while its client is held: sent together, answers collected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from segue.wire.answers import Answer, Answers
from segue.wire.framing import packet

Command = tuple[int, bytes]
"""The command's number and what follows it."""


def wire(commands: Sequence[Command]) -> bytes:
    return b"".join(packet(bytes((number,)) + rest, 0) for number, rest in commands)


class Asking:
    """One exchange; `then` is called with the answers as soon as the last is there."""

    __slots__ = ("_answers", "_then")

    def __init__(self, commands: Sequence[Command], then: Callable[[list[Answer]], None], *, deprecate_eof: bool) -> None:
        self._answers = Answers([number for number, _ in commands], deprecate_eof=deprecate_eof)
        self._then = then

    def feed(self, data: bytes) -> bool:
        """True when all answers are there; `finish` then hands them over. Raises ProtocolError."""
        self._answers.feed(data)
        return self._answers.done

    def finish(self) -> None:
        self._then(self._answers.answers)


def into(future: asyncio.Future[list[Answer]]) -> Callable[[list[Answer]], None]:
    """Answers as a future's result, unless nobody waits any more."""

    def then(answers: list[Answer]) -> None:
        if not future.done():
            future.set_result(answers)

    return then
