"""A status document in Prometheus' text format (exposition format 0.0.4). Pure.

What is not known now (a lag before the first heartbeat, a pause before the first switchover) is left out and not 0.
Counters begin anew with the process that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_REPLICATION: Final = ("streaming", "catching_up", "connecting", "stopped", "idle", "starting")
_WAYS_BACK: Final = ("none", "open", "pending", "finalized", "lost")

Sample = tuple[dict[str, str], Any]
"""Labels, and the value: a number, a bool, or None for not known."""
Family = tuple[str, str, str, Iterable[Sample]]
"""Name, kind, help, samples."""


def render(value: dict[str, Any], ill: list[str]) -> str:
    """`value` is a status document, `ill` what `health.reasons` says of it."""
    lines: list[str] = []
    for name, kind, words, samples in _families(value, ill):
        shown = [f"{name}{_labels(labels)} {_number(v)}" for labels, v in samples if v is not None]
        if shown:
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *shown]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{_escape(str(v))}"' for k, v in labels.items()) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else repr(value)


def _one(value: Any) -> list[Sample]:
    return [({}, value)]


def _of(label: str, values: Iterable[str], chosen: str) -> list[Sample]:
    """One sample for each of `values`, 1 for the chosen one; an unforeseen one is shown too."""
    return [({label: v}, v == chosen) for v in dict.fromkeys((*values, chosen))]


def _by(label: str, counts: dict[str, Any]) -> list[Sample]:
    return [({label: k}, v) for k, v in sorted(counts.items())]


def _seconds(ms: Any) -> float | None:
    return None if ms is None else round(float(ms) / 1000, 6)


def _families(value: dict[str, Any], ill: list[str]) -> Iterator[Family]:
    deployment = {"deployment": str(value["deployment"]), "version": str(value["version"])}
    yield "segue_info", "gauge", "The daemon.", [(deployment, 1)]
    yield "segue_healthy", "gauge", "1 when /healthz answers 200.", _one(not ill)
    yield "segue_active_side", "gauge", "1 for the side that clients are served by.", _of(
        "side", ("blue", "green"), str(value["active"]))  # fmt: skip
    yield "segue_epoch", "gauge", "Raised by one with every exchange of the roles.", _one(value["epoch"])
    yield "segue_phase", "gauge", "1 for the present phase.", _of("phase", ("steady",), str(value["phase"]))
    yield "segue_paused", "gauge", "1 while an operator holds the clients.", _one(bool(value["paused"]))
    yield "segue_active_refuses_writes", "gauge", "1 when the active side is read-only.", _one(
        value["active_refuses_writes"] is not None)  # fmt: skip
    yield "segue_side_reachable", "gauge", "0 for a side that has not answered for some seconds.", [
        ({"side": side}, side not in value["unreachable"]) for side in ("blue", "green")]  # fmt: skip
    yield "segue_way_back_state", "gauge", "1 for the present state of the way back.", _of(
        "state", _WAYS_BACK, str(value["way_back"]["state"]))  # fmt: skip
    yield from _replication(value["replication"])
    yield from _proxy(value["proxy"])
    yield from _switchover(value)
    yield from _copies(value)


def _replication(value: dict[str, Any]) -> Iterator[Family]:
    yield "segue_replication_state", "gauge", "1 for the present state.", _of("state", _REPLICATION, str(value["state"]))
    yield "segue_replication_lag_seconds", "gauge", "How far the standby is behind.", _one(value.get("lag_seconds"))
    yield "segue_replication_transactions_total", "counter", "Transactions applied.", _one(value.get("transactions"))
    yield "segue_replication_row_events_total", "counter", "Row events applied.", _one(value.get("rows"))
    details = value.get("details") or {}
    yield "segue_replication_bytes_total", "counter", "Bytes of the binlog applied.", _one(details.get("bytes"))
    yield "segue_replication_connects_total", "counter", "Connections for the stream.", _one(details.get("connects"))


def _proxy(value: dict[str, Any]) -> Iterator[Family]:
    workers = [w for w in value.get("workers", ()) if "accepted" in w]
    yield "segue_proxy_workers", "gauge", "Worker processes that answer.", _one(len(workers))
    for key, words in (("clients", "Client connections."), ("in_transaction", "Clients in a transaction."),
                       ("held", "Clients that are held.")):  # fmt: skip
        yield f"segue_proxy_{key}", "gauge", words, _one(value[key])
    for key, words in (("accepted", "Connections accepted."), ("dropped", "Connections that Segue had to end."),
                       ("relocated", "Sessions moved to the other side.")):  # fmt: skip
        yield f"segue_proxy_{key}_total", "counter", words, _one(value[key])
    yield "segue_proxy_pinned", "gauge", "Sessions that cannot move now.", _one(len(value.get("pinned", ())))
    compiled = [w["compiled"]["armed"] for w in workers if w.get("compiled")]
    yield "segue_proxy_compiled_sessions", "gauge", "Sessions in the compiled path.", _one(sum(compiled) if compiled else None)
    yield "segue_proxy_refused_total", "counter", "Connections turned away.", _by("reason", value.get("refused", {}))
    yield "segue_proxy_timed_out_total", "counter", "Connections ended by a limit.", _by("limit", value.get("timed_out", {}))
    standby = value.get("standby")
    yield "segue_standby_port_clients", "gauge", "Clients on the standby's port.", _one(standby["clients"] if standby else None)


def _switchover(value: dict[str, Any]) -> Iterator[Family]:
    yield "segue_switchover_in_progress", "gauge", "1 while one is under way.", _one(value["switchover"] is not None)
    last = value["last_switchover"]
    if last is None:
        return
    yield "segue_switchover_success", "gauge", "1 when the last one was done, 0 when it was aborted.", _one(
        last["outcome"] == "done")  # fmt: skip
    yield "segue_switchover_start_time_seconds", "gauge", "When the last one began.", _one(last["started"])
    yield "segue_switchover_duration_seconds", "gauge", "How long the last one took.", _one(last["seconds"])
    yield "segue_switchover_pause_seconds", "gauge", "How long the last one held clients.", _one(_seconds(last["pause_ms"]))
    yield "segue_switchover_dropped", "gauge", "Connections that the last one dropped.", _one(last["dropped"])
    yield "segue_switchover_relocated", "gauge", "Sessions that the last one moved.", _one(last["relocated"])
    steps = {str(s["step"]): _seconds(s["ms"]) for s in last["steps"]}
    yield "segue_switchover_step_seconds", "gauge", "Steps of the last one.", [({"step": k}, v) for k, v in steps.items()]


def _copies(value: dict[str, Any]) -> Iterator[Family]:
    if (seed := value.get("seed")) is not None:
        yield "segue_seed_done_ratio", "gauge", "Part of the seed that is copied.", _one(round(float(seed["percent"]) / 100, 4))
        yield "segue_seed_rows_total", "counter", "Rows copied by the seed.", _one(seed["rows"])
    if (verify := value["verify"].get("continuous")) is not None:
        yield "segue_verify_tables_in_doubt", "gauge", "Tables not proven equal at present.", _one(
            len(verify.get("tables_in_doubt") or ()))  # fmt: skip
        yield "segue_verify_rows_that_differ", "gauge", "Rows found to differ.", _one(verify.get("differences"))
