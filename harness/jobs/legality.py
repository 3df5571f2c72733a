"""What a schedule must be: active jobs, each with the GPUs of its whole gang, of a size that it may have; every GPU is
there, usable and used once."""

from __future__ import annotations

from harness.jobs.protocol import Boundary, Schedule
from harness.model.errors import UserError


class IllegalSchedule(UserError):
    """The message says what is wrong with it."""


def check_schedule(schedule: Schedule, boundary: Boundary) -> None:
    """Raises IllegalSchedule for the first entry that cannot be carried out at `boundary`."""
    active = {job.id: job for job in boundary.active}
    taken: set[int] = set()
    for job, gpus in schedule.items():
        view = active.get(job)
        if view is None:
            raise IllegalSchedule(f"job {job} is not active")
        if len(gpus) not in view.sizes:
            gang = " or ".join(map(str, view.sizes))
            raise IllegalSchedule(f"job {job} needs its whole gang of {gang} GPUs, and was given {len(gpus)}")
        for gpu in gpus:
            if not 0 <= gpu < boundary.gpus:
                raise IllegalSchedule(f"job {job}: there is no GPU {gpu}, but 0 to {boundary.gpus - 1}")
            if gpu in boundary.unusable:
                raise IllegalSchedule(f"job {job}: GPU {gpu} is not usable now")
            if gpu in taken:
                raise IllegalSchedule(f"job {job}: GPU {gpu} is given twice")
            taken.add(gpu)
