"""Further files that a judge must survive: forged messages, time by the spoonful, code where a value is expected."""

from __future__ import annotations

from tests.evaluation.hostile_files import SCORE, Hostile

FORGE = """
import os
import struct
import time


def forge(body):
    for number in range(3, 64):
        try:
            os.write(number, struct.pack("<I", len(body)) + body)
        except OSError:
            pass
"""

MESSAGES = {
    "sleeps_in_each_call": Hostile(
        """
import time


class Slow:
    def __del__(self):
        time.sleep(0.2)


def score(pod, cluster):
    Slow()
    return cluster.free[0] * 1.0
""",
        "contained",
        "all its calls together take more than 1.5 s",
    ),
    "messages_without_end": Hostile(
        FORGE
        + r"""
def score(pod, cluster):
    forge(b"\x81\xa7nothing\xa1x")
    while True:
        forge(b"\x80")
        time.sleep(0.1)
""",
        "contained",
        "all its calls together take more than 1.5 s",
    ),
    "reads_no_answer": Hostile(
        FORGE
        + r"""
def score(pod, cluster):
    for _ in range(20_000):
        forge(b"\x82\xa3ask\xa6labels\xa4node\x00")
    time.sleep(10**6)
""",
        "contained",
        "time: it reads no answer",
        quick=True,
    ),
    "a_message_of_a_million_lists": Hostile(
        FORGE + r"""forge(b"\x81\xa4done" + b"\x91" * 1_000_000 + b"\x00")""" + SCORE,
        "contained",
        "answer: no message",
    ),
    "a_message_that_is_not_text": Hostile(
        FORGE + r"""forge(b"\x81\xa4done\xa4\xff\xfe\xff\xfe")""" + SCORE,
        "contained",
        "answer: no message",
        quick=True,
    ),
    "a_message_with_a_list_for_a_key": Hostile(
        FORGE + r"""forge(b"\x81\xa4done\x81\x91\x81\x01\x02\x03")""" + SCORE,
        "contained",
        "answer: no message",
    ),
    "a_random_stream_at_infinity": Hostile(
        FORGE
        + r"""
INFINITY = b"\xcb\x7f\xf0" + bytes(6)


def score(pod, cluster):
    forge(b"\x82\xa4done\xc3\xa3rng\x83\xa5state" + INFINITY + b"\xa3has\x00\xa8uinteger\x00")
    return cluster.free[0] * 1.0
""",
        "does not conform",
        "the state of rng",
    ),
    "raises_half_a_character": Hostile(
        r"""
def score(pod, cluster):
    raise ValueError("\ud800")
""",
        "does not conform",
        r"ValueError: \ud800",
    ),
    "reads_in_an_attribute": Hostile(
        """
class scheduler:
    @property
    def batch_size(self):
        return len(open('/etc/passwd').read())

    def place(self, pods, cluster, rng):
        return []
""",
        "contained",
        "reads '/etc/passwd' (line 5)",
    ),
    "forks_in_an_index": Hostile(
        """
import os

from harness.scheduling.strategy import Bind


class Number:
    def __index__(self):
        return os.fork()


class scheduler:
    def place(self, pods, cluster, rng):
        yield Bind(pods[0], Number())
""",
        "contained",
        "os.fork",
    ),
    "runs_a_shell_in_a_metaclass": Hostile(
        """
import os


class Meta(type):
    def __getattr__(cls, name):
        os.execv('/bin/sh', ['sh'])


class scheduler(metaclass=Meta):
    pass
""",
        "contained",
        "os.exec",
    ),
    "code_under_another_name": Hostile(
        r"""
code = compile("import ctypes\nctypes.CDLL(None).fork()", "<frozen importlib._bootstrap>", "exec")


def score(pod, cluster):
    exec(code)
    return cluster.free[0] * 1.0
""",
        "contained",
        "import ctypes",
    ),
    "blinds_the_audit_hook": Hostile(
        """
import os
import sys

frame = sys._getframe()
while frame:
    host = frame.f_locals.get('self')
    if hasattr(host, '_attempts'):
        host._attempts._kinds.clear()
    frame = frame.f_back


def score(pod, cluster):
    os.fork()
    return cluster.free[0] * 1.0
""",
        "does not conform",
        "Operation not permitted",
    ),
    "lists_files_by_pickle": Hostile(
        r"""
import pickle


def score(pod, cluster):
    return pickle.loads(b"cbuiltins\neval\n(S'__import__(\"os\").listdir(\"/\")'\ntR.")
""",
        "contained",
        "reads '/'",
    ),
    "writes_beyond_an_array": Hostile(
        """
import numpy as np
from numpy.lib.stride_tricks import as_strided


def score(pod, cluster):
    as_strided(np.zeros(1), shape=(1 << 40,), strides=(8,))[1 << 36] = 1
    return cluster.free[0] * 1.0
""",
        "contained",
        "crash",
    ),
    "aborts": Hostile(
        """
import os


def score(pod, cluster):
    os.abort()
""",
        "contained",
        "crash",
    ),
    "writes_far_into_what_it_printed": Hostile(
        """
import os

os.lseek(1, 1 << 40, 0)
os.write(1, b'x')
"""
        + SCORE,
        "contained",
        "printed more than",
    ),
    "a_coroutine": Hostile(
        """
class scheduler:
    async def place(self, pods, cluster, rng):
        yield 1
""",
        "does not conform",
        "async_generator",
    ),
    "nested_source": Hostile("x = " + "-" * 200_000 + "1\n" + SCORE, "contained", "memory"),
    "much_source": Hostile("x = '" + "y" * (1 << 20) + "'\n" + SCORE, "faulty", "bytes of source"),
    "a_zero_byte": Hostile("x = 1\0\n" + SCORE, "faulty", "null bytes"),
}
