"""Files that a judge must survive: what each does, the verdict, and words that its reason must have."""

from __future__ import annotations

from dataclasses import dataclass

SCORE = """
def score(pod, cluster):
    return cluster.free[0] * 1.0
"""


@dataclass(frozen=True, slots=True)
class Hostile:
    text: str
    verdict: str
    words: str
    quick: bool = False
    """Whether it is tried with the quick tests, too."""


HOSTILE = {
    "endless_import": Hostile(
        """
while True:
    pass
""",
        "contained",
        "time",
    ),
    "endless_place": Hostile(
        """
def score(pod, cluster):
    while True:
        pass
""",
        "contained",
        "time",
        quick=True,
    ),
    "endless_in_c": Hostile(
        """
import numpy as np


def score(pod, cluster):
    return sum(iter(int, 1))
""",
        "contained",
        "time",
    ),
    "sleeps": Hostile(
        """
import time


def score(pod, cluster):
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass
""",
        "contained",
        "time",
    ),
    "fork_bomb": Hostile(
        """
import os


def score(pod, cluster):
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
        "contained",
        "os.fork",
        quick=True,
    ),
    "subprocesses": Hostile(
        """
import subprocess


def score(pod, cluster):
    subprocess.run(['id'])
    return cluster.free[0] * 1.0
""",
        "contained",
        "import subprocess",
    ),
    "threads": Hostile(
        """
import _thread


def score(pod, cluster):
    for _ in range(1000):
        _thread.start_new_thread(lambda: sum(iter(int, 1)), ())
    return cluster.free[0] * 1.0
""",
        "contained",
        "import _thread",
    ),
    "reads_passwd": Hostile(
        """
def score(pod, cluster):
    open('/etc/passwd').read()
    return cluster.free[0] * 1.0
""",
        "contained",
        "/etc/passwd",
        quick=True,
    ),
    "reads_parent": Hostile(
        """
import os


def score(pod, cluster):
    open(f'/proc/{os.getppid()}/environ', 'rb').read()
    return cluster.free[0] * 1.0
""",
        "contained",
        "/environ",
    ),
    "reads_seeds": Hostile(
        """
import gc


def score(pod, cluster):
    seeds = [item for item in gc.get_objects() if isinstance(item, list) and len(item) == 6]
    return cluster.free[0] * len(seeds)
""",
        "contained",
        "gc.get_objects",
    ),
    "imports_judge": Hostile(
        """
import harness.evaluation.suite
"""
        + SCORE,
        "contained",
        "import harness.evaluation.suite",
    ),
    "network": Hostile(
        """
import socket
"""
        + SCORE,
        "contained",
        "import socket",
        quick=True,
    ),
    "raw_socket": Hostile(
        """
import sys

net = sys.modules.get('_socket')
if net is None:
    import _socket as net
net.socket()
"""
        + SCORE,
        "contained",
        "import _socket",
    ),
    "memory_hog": Hostile(
        """
import numpy as np

held = []


def score(pod, cluster):
    while True:
        held.append(np.zeros(1 << 24))
""",
        "contained",
        "memory",
        quick=True,
    ),
    "sys_exit": Hostile(
        """
import sys


def score(pod, cluster):
    sys.exit(0)
""",
        "contained",
        "SystemExit(0)",
    ),
    "os_exit": Hostile(
        """
import os


def score(pod, cluster):
    os._exit(0)
""",
        "contained",
        "exit code 0",
        quick=True,
    ),
    "signal_handlers": Hostile(
        """
import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
        + SCORE,
        "contained",
        "import signal",
    ),
    "kills_parent": Hostile(
        """
import os


def score(pod, cluster):
    os.kill(os.getppid(), 9)
    return cluster.free[0] * 1.0
""",
        "contained",
        "os.kill",
    ),
    "patches_numpy": Hostile(
        """
import numpy as np

np.where = lambda *a: a[-1]
"""
        + SCORE,
        "contained",
        "numpy.where was replaced",
        quick=True,
    ),
    "patches_clock": Hostile(
        """
import time


def score(pod, cluster):
    time.time = lambda: 0.0
    return cluster.free[0] * 1.0
""",
        "contained",
        "time.time was replaced",
    ),
    "patches_protocol": Hostile(
        """
from harness.scheduling import strategy

strategy.Bind.__init__ = lambda self, *a: None
"""
        + SCORE,
        "contained",
        "strategy.Bind was replaced",
    ),
    "patches_measures": Hostile(
        """
import harness.measure.placement as placement

placement.Placement.metrics = lambda self, *a, **k: {'allocation': {'gpu': 1.0}}
"""
        + SCORE,
        "contained",
        "import harness.measure",
    ),
    "stack_overflow": Hostile(
        """
import sys

sys.setrecursionlimit(10**9)


class Deep:
    def __repr__(self):
        return repr(self)


def score(pod, cluster):
    return repr(Deep())
""",
        "contained",
        "stack that overflows",
    ),
    "huge_output": Hostile(
        """
def score(pod, cluster):
    while True:
        print('x' * 100_000)
""",
        "contained",
        "printed more than",
    ),
    "huge_answer": Hostile(
        """
from harness.scheduling.strategy import Wait


class scheduler:
    def place(self, pods, cluster, rng):
        yield [Wait(pod, 'x') for pod in pods] * (1 << 20)
""",
        "does not conform",
        "answers with decisions",
    ),
    "infinite_generator": Hostile(
        """
from harness.scheduling.strategy import Wait


class scheduler:
    def place(self, pods, cluster, rng):
        while True:
            yield Wait(pods[0], 'later')
""",
        "does not conform",
        "no end of them",
    ),
    "imports_ctypes": Hostile(
        """
import ctypes

ctypes.string_at(0)
"""
        + SCORE,
        "contained",
        "import ctypes",
    ),
    "ctypes_of_numpy": Hostile(
        """
import numpy as np

ctypes = np.ctypeslib.ctypes
ctypes.CDLL(None).getpid()
"""
        + SCORE,
        "contained",
        "ctypes.dlopen",
    ),
    "writes_record": Hostile(
        """
from pathlib import Path


def score(pod, cluster):
    Path('results/local/record.json').write_text('{}')
    return cluster.free[0] * 1.0
""",
        "contained",
        "to write",
        quick=True,
    ),
    "writes_own_file": Hostile(
        """
def score(pod, cluster):
    with open(__file__, 'a') as file:
        file.write('#')
    return cluster.free[0] * 1.0
""",
        "contained",
        "to write",
    ),
    "unpickles": Hostile(
        """
class Trap:
    def __reduce__(self):
        return print, ('run by the judge',)


class scheduler:
    def place(self, pods, cluster, rng):
        yield Trap()
""",
        "does not conform",
        "answers with decisions",
    ),
    "closes_pipes": Hostile(
        """
import os


def score(pod, cluster):
    for number in range(3, 64):
        try:
            os.close(number)
        except OSError:
            pass
    return cluster.free[0] * 1.0
""",
        "contained",
        "exits",
    ),
    "forges_messages": Hostile(
        r"""
import os

for number in range(3, 64):
    try:
        os.write(number, b'\x00\x00\x00\x7f' + b'\xc1' * 100)
    except OSError:
        pass
"""
        + SCORE,
        "contained",
        "answer",
    ),
}
