"""The set of guardrails: found by themselves, one id each, passed over one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.errors import Refused
from segue.switchover import guardrails


def test_each_module_is_one_guardrail_named_by_its_id() -> None:
    found = guardrails.every()
    assert len({g.id for g in found}) == len(found)
    for one in found:
        assert one.says.endswith("."), one.id
        assert one.check.__module__.rsplit(".", 1)[-1] in (one.id, "settings")


def test_allow_is_by_id_and_never_what_is_unsafe() -> None:
    assert guardrails.allowed(["sql_mode", "accounts"]) == {"sql_mode", "accounts"}
    with pytest.raises(Refused, match="no guardrail 'all'"):
        guardrails.allowed(["all"])
    with pytest.raises(Refused, match="both sides would accept writes"):
        guardrails.allowed(["target_read_only"])


def test_the_documentation_lists_them_all() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/failures.md").read_text()
    for one in guardrails.every():
        assert f"| `{one.id}` | {one.severity} | {one.says[:-1]}" in text, one.id
        assert not one.unsafe or one.unsafe in text
