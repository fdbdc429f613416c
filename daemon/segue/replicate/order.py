"""What control tells the replicator to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from segue.config import Endpoint, Replicate, Seed
from segue.roles import mapping_from
from segue.schema import Mapping


@dataclass(frozen=True, slots=True)
class Order:
    """From where to where, which tables, under which epoch."""

    deployment: str
    source: Endpoint
    source_label: str
    target: Endpoint
    target_label: str
    mapping: Mapping
    on_ddl: str
    epoch: int
    seed: Seed = field(default_factory=Seed)
    """How fast a target is filled."""

    @property
    def source_where(self) -> str:
        return f"{self.source_label} {self.source.host}:{self.source.port}"

    @property
    def target_where(self) -> str:
        return f"{self.target_label} {self.target.host}:{self.target.port}"

    @property
    def direction(self) -> str:
        return f"{self.source_label}->{self.target_label}"

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Order:
        """The arguments of control's `start`."""
        replicate = Replicate.model_validate(message["replicate"])
        return cls(
            message["deployment"],
            Endpoint.from_message(message["source"]),
            message["source"]["name"],
            Endpoint.from_message(message["target"]),
            message["target"]["name"],
            mapping_from(message["source"]["name"], replicate),
            replicate.on_ddl,
            int(message["epoch"]),
            Seed.model_validate(message.get("seed") or {}),
        )
