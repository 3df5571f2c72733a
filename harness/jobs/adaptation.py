"""How a training job changes its batch size by itself as it makes progress, and how long it would take alone.

The rules and figures are those of Shockwave's simulator (Zheng et al., NSDI 2023; uw-mad-dash/shockwave 8a44f4a).
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.model.training import MODELS, Speeds, TrainingJob


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def epoch_steps(model: str, batch_size: int) -> int:
    """Steps in which the whole data set is seen once."""
    return ceil_div(MODELS[model].samples, batch_size)


def gns_batch_size(job: TrainingJob, speeds: Speeds, epoch: int) -> int:
    """What a job of mode `gns` should use in `epoch`."""
    passed = sum(threshold <= epoch for threshold in speeds.doublings[job.model, job.batch_size, job.gang])
    return int(min(job.batch_size * 2**passed, MODELS[job.model].largest_batch))


def doubles(job: TrainingJob, speeds: Speeds) -> bool:
    """Whether a job of mode `gns` ever changes its batch size."""
    return job.model != "Transformer" and (job.model, job.batch_size, job.gang) in speeds.doublings


def in_critical_regime(job: TrainingJob, epoch: int) -> bool:
    """Accordion: whether the gradient changes so fast in `epoch` that the first, small batch size must be used."""
    if job.model == "LM":
        return epoch < 10
    if job.model == "Recommendation":
        return epoch < {512: 30, 1024: 30, 2048: 40}.get(job.batch_size, 10)
    if job.model == "ResNet-50":
        return epoch % 30 < 10
    if job.model == "ResNet-18":
        return epoch < (20 if job.batch_size == 256 else 10) or 150 <= epoch < 160 or 250 <= epoch < 260
    return True


def profile(job: TrainingJob, speeds: Speeds) -> dict[int, int]:
    """Epochs at each batch size, as measured ahead. It is a yardstick: the simulated job decides for itself."""
    found: dict[int, int] = {}
    for batch, epochs in _stretches(job, speeds):
        found[batch] = found.get(batch, 0) + epochs
    return found


def exclusive_seconds(job: TrainingJob, speeds: Speeds) -> float:
    """How long the job would take with its GPUs to itself, by its profile: the yardstick of finish-time fairness."""
    total = 0.0
    for batch, epochs in _stretches(job, speeds):
        epoch_s = MODELS[job.model].samples / batch / speeds.steps_per_s[job.model, batch, job.gang]
        for _ in range(epochs):  # one after the other, as the published simulator adds them: the last bits count
            total += epoch_s
    return total


def _stretches(job: TrainingJob, speeds: Speeds) -> list[tuple[int, int]]:
    """(batch size, epochs in a row), from the first epoch to the last."""
    epochs = ceil_div(job.steps, epoch_steps(job.model, job.batch_size))
    starts = sorted(at for at in {0, *_changes(job, speeds, epochs)} if at < epochs)
    sizes = [profiled_batch_size(job, speeds, at, epochs) for at in starts]
    return [(size, end - at) for size, at, end in zip(sizes, starts, [*starts[1:], epochs], strict=True)]


def _changes(job: TrainingJob, speeds: Speeds, epochs: int) -> Iterable[int]:
    """All epochs whose batch size may be another one than that of the epoch before."""
    if job.mode == "static" or job.model == "Transformer":
        return ()
    if job.mode == "gns":
        return (*speeds.doublings.get((job.model, job.batch_size, job.gang), ()), epochs - 1)
    regime = {
        "LM": (10,),
        "Recommendation": (10, 30, 40, 60, 70, 80, 90),
        "ResNet-50": (*range(10, epochs, 30), *range(30, epochs, 30)),
        "ResNet-18": (10, 20, 150, 160, 250, 260),
    }
    return (1, int(0.3 * epochs) + 1, *regime[job.model])


def profiled_batch_size(job: TrainingJob, speeds: Speeds, epoch: int, epochs: int) -> int:
    """In `epoch` of so many `epochs`."""
    if job.mode == "static" or job.model == "Transformer":
        return job.batch_size
    if job.mode == "gns":
        if not doubles(job, speeds):
            return job.batch_size
        last = epochs - 1
        passed = sum(t <= last for t in speeds.doublings[job.model, job.batch_size, job.gang])
        return job.batch_size if epoch == last and passed >= 2 else gns_batch_size(job, speeds, epoch)
    critical = in_critical_regime(job, epoch) or (
        job.model == "Recommendation" and (60 <= epoch < 70 or 80 <= epoch < 90)
    )
    # From the profile's file: the first three tenths of a job are always at the first batch size.
    return job.batch_size if critical or epoch == 0 or epoch <= 0.3 * epochs else MODELS[job.model].largest_batch
