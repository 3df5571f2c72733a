"""`spec.accounting`: by which users, queues and classes jobs are told apart, and their deadlines."""

from __future__ import annotations

from harness.experiment.forms import AccountingForm
from harness.experiment.scenario import LONGEST_NS, LoadedScenario
from harness.measure.accounting import DIMENSIONS, EXPECTED, Accounting, parse_deadline, reader
from harness.measure.job_lives import JobLives

DEADLINE = "a duration after the arrival such as 10m, or a factor of what the job takes alone such as 2x"


def read_accounting(loaded: LoadedScenario) -> Accounting:
    """Raises UserError."""
    form = loaded.scenario.spec.accounting
    for name, source in _sources(form).items():
        try:
            reader(source)
        except ValueError:
            raise loaded.error(f"spec.accounting.{name}", "is no place", found=source, expected=EXPECTED) from None
    after_ns, times = 0, 0.0
    if form.deadline is not None:
        try:
            after_ns, times = parse_deadline(form.deadline)
        except ValueError:
            after_ns = LONGEST_NS + 1
        if after_ns > LONGEST_NS:
            about = {"found": form.deadline, "expected": DEADLINE}
            raise loaded.error("spec.accounting.deadline", "is no deadline", **about) from None
    return Accounting(form.user, form.queue, form.priority_class, after_ns, times)


def unfound(loaded: LoadedScenario, jobs: JobLives) -> list[str]:
    """What the scenario says pods are told apart by, and no pod has; deadlines that cannot be read."""
    asked, usual = _sources(loaded.scenario.spec.accounting), _sources(AccountingForm())
    seen = [{account[at] for account in jobs.account_of.values()} - {""} for at in range(len(DIMENSIONS))]
    return [
        *(
            f"spec.accounting.{name}: no pod has {source}"
            for (name, source), values in zip(asked.items(), seen, strict=True)
            if source != usual[name] and not values
        ),
        *jobs.problems,
    ]


def _sources(form: AccountingForm) -> dict[str, str]:
    return dict(zip(DIMENSIONS, (form.user, form.queue, form.priority_class), strict=True))
