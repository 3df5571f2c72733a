"""Further files that a judge must survive: tricks on the interpreter, the protocol and the score."""

from __future__ import annotations

from tests.evaluation.hostile_files import SCORE, Hostile

TRICKS = {
    "exits_when_collected": Hostile(
        """
import os


class Trap:
    def __del__(self):
        os._exit(0)


def score(pod, cluster):
    Trap()
    return cluster.free[0] * 1.0
""",
        "contained",
        "exits: it ended its process",
    ),
    "exits_in_a_generator": Hostile(
        """
class scheduler:
    def place(self, pods, cluster, rng):
        try:
            yield from ()
        finally:
            raise SystemExit(0)
""",
        "contained",
        "exits: it raised SystemExit(0)",
    ),
    "patches_every_module": Hostile(
        """
import sys

for name, module in list(sys.modules.items()):
    if name.startswith('harness'):
        for key in [key for key, value in vars(module).items() if callable(value) and not key.startswith('__')]:
            setattr(module, key, lambda *args, **named: 1e9)
"""
        + SCORE,
        "contained",
        "exits",
    ),
    "traces_the_host": Hostile(
        """
import sys


def trace(frame, event, argument):
    frame.f_globals.update({key: None for key in list(frame.f_globals) if 'time' in key})
    return trace


sys.settrace(trace)
sys.setprofile(trace)
"""
        + SCORE,
        "contained",
        "patches",
    ),
    "low_level_thread": Hostile(
        """
import _thread

_thread.start_new_thread(print, ())
"""
        + SCORE,
        "contained",
        "import _thread",
    ),
    "timer_signals": Hostile(
        """
import signal

signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
"""
        + SCORE,
        "contained",
        "import signal",
    ),
    "hooks_the_collector": Hostile(
        """
import gc


def hook(phase, told):
    for found in gc.get_objects():
        if isinstance(found, dict) and 'seed' in found:
            found['seed'] = 0


gc.callbacks.append(hook)
gc.set_threshold(1)
"""
        + SCORE,
        "contained",
        "gc.get_objects",
    ),
    "own_audit_hook": Hostile(
        """
import sys


def hook(*told):
    raise RuntimeError('nothing is told')


sys.addaudithook(hook)
open('/etc/passwd')
"""
        + SCORE,
        "faulty",
        "RuntimeError",
    ),
    "writes_memory": Hostile(
        """
def score(pod, cluster):
    with open('/proc/self/mem', 'r+b') as file:
        file.seek(id(pod))
        file.write(bytes(64))
    return cluster.free[0] * 1.0
""",
        "contained",
        "opens '/proc/self/mem' to write",
    ),
    "symbolic_link": Hostile(
        """
import os

os.symlink('/etc/passwd', 'link')
"""
        + SCORE,
        "contained",
        "os.symlink",
    ),
    "floods_stderr": Hostile(
        """
import os


def score(pod, cluster):
    while True:
        os.write(2, bytes(1 << 16))
""",
        "contained",
        "printed more than",
    ),
    "yields_for_ever": Hostile(
        """
from harness.scheduling.strategy import Wait


class scheduler:
    def place(self, pods, cluster, rng):
        while True:
            yield Wait(pods[0], 'not now')
""",
        "does not conform",
        "more decisions than there are pods",
    ),
    "answers_with_a_trap": Hostile(
        """
import os

from harness.scheduling.strategy import Wait


class Trap(str):
    def __reduce__(self):
        return os.system, ('touch run-by-the-judge',)


class scheduler:
    def place(self, pods, cluster, rng):
        for pod in pods:
            yield Wait(pod, Trap('not now'))
""",
        "does not conform",
        "it placed nothing",
    ),
    "pickle_runs_a_shell": Hostile(
        """
import pickle

pickle.loads(b"cos\\nsystem\\n(S'id'\\ntR.")
"""
        + SCORE,
        "contained",
        "os.system",
    ),
    "spawns": Hostile(
        """
import os

os.posix_spawn('/bin/true', ['true'], {})
"""
        + SCORE,
        "contained",
        "os.posix_spawn",
    ),
    "ctypes_by_its_core": Hostile(
        """
import _ctypes
"""
        + SCORE,
        "contained",
        "import _ctypes",
    ),
    "import_hook": Hostile(
        """
import sys


class Finder:
    def find_spec(self, name, path=None, target=None):
        open('/etc/shadow')


sys.meta_path.insert(0, Finder())


def score(pod, cluster):
    import nothing_of_this_name
""",
        "contained",
        "reads '/etc/shadow'",
    ),
    "huge_scores": Hostile(
        """
import numpy as np


def score(pod, cluster):
    return np.ones(1 << 33)
""",
        "contained",
        "memory",
    ),
    "scores_of_nan": Hostile(
        """
import numpy as np


def score(pod, cluster):
    return np.full(len(cluster.names), np.nan)
""",
        "does not conform",
        "not a number",
    ),
    "complex_scores": Hostile(
        """
import numpy as np


def score(pod, cluster):
    return np.full(len(cluster.names), 1 + 2j)
""",
        "does not conform",
        "complex",
    ),
    "deep_recursion": Hostile(
        """
from harness.scheduling.strategy import BindTogether


class scheduler:
    def place(self, pods, cluster, rng):
        nested = BindTogether(())
        for _ in range(100_000):
            nested = BindTogether((nested,))
        yield nested
""",
        "does not conform",
        "RecursionError",
    ),
    "scores_by_the_clock": Hostile(
        """
import time


def score(pod, cluster):
    return cluster.free[0] * (time.time_ns() // 1000 % 7 - 3.0)
""",
        "does not conform",
        "",
    ),
}
