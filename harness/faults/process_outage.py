"""What the outages of the control plane's processes share: the whole process, or only its watches."""

from __future__ import annotations

from random import Random
from typing import Annotated, ClassVar

from msgspec import Meta

from harness.engine.component import DisturbWatches, Effect, RestartProcess
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.times import SCHEMA, parse_duration

PROCESS, WATCHES = "process", "watches"


class ProcessOutage(FaultForm, frozen=True, kw_only=True):
    down_for: Annotated[
        str, Meta(description="until the next one starts", examples=["15s"], extra_json_schema=SCHEMA)
    ] = "30s"
    of: Annotated[
        str,
        Meta(
            description="process: it stops, and starts with nothing in memory; watches: it goes on, and does not hear "
            "what changes",
            examples=["watches"],
            extra_json_schema={"enum": [PROCESS, WATCHES]},
        ),
    ] = PROCESS
    late: Annotated[
        str,
        Meta(
            description="of watches: they are not broken, what they tell comes so much later",
            examples=["5s"],
            extra_json_schema=SCHEMA,
        ),
    ] = "0s"
    expired: Annotated[
        bool,
        Meta(
            description="of watches: they cannot go on where they broke (410 Gone), everything is listed anew",
            examples=[True],
        ),
    ] = False

    stops: ClassVar[str]
    """The process."""

    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        for_ns, late_ns = parse_duration(self.down_for), parse_duration(self.late)
        if self.of == PROCESS:
            if late_ns or self.expired:
                raise ValueError("late and expired are of watches: of: watches is missing")
            return [RestartProcess(self.stops, for_ns)]
        if self.of != WATCHES:
            raise ValueError(f"of: {self.of!r} is neither {PROCESS} nor {WATCHES}")
        if late_ns and self.expired:
            raise ValueError("watches are either late or expired")
        return [DisturbWatches(self.stops, for_ns, late_ns, self.expired)]

    def lasts_ns(self) -> int | None:
        return parse_duration(self.down_for) + parse_duration(self.late)
