"""Faults of the control plane: the API server's process stops, and is back recovered from its store."""

from __future__ import annotations

from random import Random

from harness.engine.component import Effect, RestartApiServer
from harness.faults.world import Form, World
from harness.model.times import parse_duration


class ApiServerRestart(Form, frozen=True, kw_only=True):
    down_for: str = "5s"

    def effects(self, world: World, rng: Random) -> list[Effect]:
        return [RestartApiServer(parse_duration(self.down_for))]
