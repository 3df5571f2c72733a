"""Months later, for code that should not look at the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def another_time() -> Iterator[None]:
    """By every clock of the module time except monotonic(), which the deadline of a call goes by."""
    later = 10**7 + 12345.678
    with mock.patch.multiple(
        time,
        time=lambda real=time.time: real() + later,
        perf_counter=lambda real=time.perf_counter: real() + later,
        process_time=lambda real=time.process_time: real() + later,
        time_ns=lambda real=time.time_ns: real() + round(later * 1e9),
        perf_counter_ns=lambda real=time.perf_counter_ns: real() + round(later * 1e9),
        monotonic_ns=lambda real=time.monotonic_ns: real() + round(later * 1e9),
    ):
        yield
