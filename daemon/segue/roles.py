"""Blue and green are labels; active and standby are roles. This is the only place that turns one into the other."""

from __future__ import annotations

from dataclasses import dataclass

from segue.config import Config, Endpoint, Replicate
from segue.schema.mapping import Mapping

BLUE, GREEN = "blue", "green"


@dataclass(frozen=True, slots=True)
class Side:
    """One environment: its label and how to reach it."""

    label: str
    endpoint: Endpoint

    @property
    def where(self) -> str:
        return f"{self.label} {self.endpoint.host}:{self.endpoint.port}"


@dataclass(frozen=True, slots=True)
class Roles:
    """Which side has which role. Replication always flows active -> standby; clients always reach active."""

    active: Side
    standby: Side

    @classmethod
    def of(cls, config: Config, active_label: str) -> Roles:
        sides = {BLUE: Side(BLUE, config.blue), GREEN: Side(GREEN, config.green)}
        other = GREEN if active_label == BLUE else BLUE
        return cls(sides[active_label], sides[other])

    def swapped(self) -> Roles:
        return Roles(self.standby, self.active)

    @property
    def direction(self) -> str:
        return f"{self.active.label}->{self.standby.label}"


def mapping_from(source_label: str, replicate: Replicate) -> Mapping:
    """The configuration's mapping, which is written from blue to green, in the direction that begins at this side.

    Raises ConfigError.
    """
    mapping = Mapping.of(replicate)
    return mapping if source_label == BLUE else mapping.inverse()
