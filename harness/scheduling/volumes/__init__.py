"""Volumes as the scheduler sees them: what there is (book), what is taken (hold), where they let a pod go (places)."""

# The constraints' modules and these need one another; begun from this end, the constraints come first.
import harness.scheduling.filters  # noqa: F401
