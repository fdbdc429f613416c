"""All guardrails: found, run one after another, passed over one by one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterable
from functools import cache
from importlib.metadata import entry_points

from segue.errors import Refused, SegueError
from segue.switchover.guardrails.base import Context, Finding, Guardrail

_PACKAGE = "segue.switchover.guardrails"
_SHARED = frozenset({"base", "definitions", "registry", "settings"})


@cache
def every() -> tuple[Guardrail, ...]:
    """Every guardrail there is, by id: the modules of this folder, and entry points of other packages."""
    here = importlib.import_module(_PACKAGE)
    names = (m.name for m in pkgutil.iter_modules(here.__path__) if m.name not in _SHARED)
    found: list[Guardrail] = [importlib.import_module(f"{_PACKAGE}.{name}").GUARDRAIL for name in names]
    found += [point.load() for point in entry_points(group="segue.guardrails")]
    by_id = {g.id: g for g in found}
    if len(by_id) != len(found):
        raise SegueError("two guardrails have the same id", mend="Remove the package that brings the second one")
    return tuple(by_id[name] for name in sorted(by_id))


async def run(context: Context, only: Iterable[Guardrail] | None = None) -> list[Finding]:
    """Run guardrails one after another; one that cannot be answered is a finding that blocks."""
    findings: list[Finding] = []
    for guardrail in every() if only is None else only:
        try:
            findings += [guardrail.finding(problem) for problem in await guardrail.check(context)]
        except SegueError as error:
            findings.append(Finding(guardrail.id, "blocks", f"could not be checked: {error.message}", error.mend))
    return findings


def allowed(ids: Collection[str]) -> frozenset[str]:
    """The ids that an operator passes over. Raises Refused for an unknown one and for one that must hold."""
    known = {g.id: g for g in every()}
    for name in ids:
        if name not in known:
            raise Refused(f"there is no guardrail '{name}'", mend="segue check names them; each is allowed by its own id")
        if known[name].unsafe:
            raise Refused(f"guardrail '{name}' cannot be passed over: {known[name].unsafe}", mend="Mend what it says")
    return frozenset(ids)
