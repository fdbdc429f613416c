"""What guardrails about server variables have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from segue.switchover.guardrails.base import Context, Problem

Check = Callable[[Context], Awaitable[list[Problem]]]


def must_be(name: str, *wanted: str, mend: str = "", statement: str = "") -> Check:
    """A check that both sides have variable `name` at one of the `wanted` values; the first is the one to set.

    Both, since the target becomes the source of the way back. A server that has no such variable has removed it
    because only the right value was left.
    """

    async def check(context: Context) -> list[Problem]:
        found = []
        for server in context.both:
            flavour, conn = await server.get()
            have = (await flavour.variables(conn, name)).get(name)
            if have is not None and have.upper() not in wanted:
                sentence = f"{name} is {have} on {server.side.where}, {wanted[0]} is needed"
                how = f"On {server.side.where}: {mend}" if mend and not statement else mend
                found.append(Problem(sentence, how, server, statement))
        return found

    return check


def must_agree(*names: str, mend: str = "") -> Check:
    """A check that the standby has these variables at the active side's values; `mend` where no statement sets them."""

    async def check(context: Context) -> list[Problem]:
        source, target = [await _read(context, n, names) for n in (0, 1)]
        return [
            Problem(f"{name} is '{source[name]}' on the active side and '{target[name]}' on the standby", mend,
                    context.target, "" if mend else f"SET GLOBAL {name} = {_literal(source[name])};")
            for name in names
            if name in source and name in target and source[name] != target[name]
        ]  # fmt: skip

    return check


def must_not_be_less(name: str) -> Check:
    """A check that the standby has at least what the active side has."""

    async def check(context: Context) -> list[Problem]:
        source, target = [(await _read(context, n, (name,))).get(name) for n in (0, 1)]
        if source is None or target is None or int(target) >= int(source):
            return []
        return [Problem(f"{name} is {target} on the standby, {source} on the active side", "", context.target,
                        f"SET GLOBAL {name} = {source};")]  # fmt: skip

    return check


async def _read(context: Context, which: int, names: tuple[str, ...]) -> dict[str, str]:
    flavour, conn = await context.both[which].get()
    return await flavour.variables(conn, *names)


def _literal(value: str) -> str:
    return value if value.isdigit() else f"'{value}'"
