"""What a client is told of containers: commands, logs, SPDY frames."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.http.containers.spdy import DICTIONARY, DamagedError, Data, Opened, Session
from harness.model import commands
from harness.model.commands import FOREVER, SECOND_NS, NotKnownError, Outcome, Surroundings

AROUND = Surroundings("box", {"A": "1"}, {"/etc/conf/key": "value\n"}, "today")


def sh(script: str) -> Outcome:
    return commands.executed(["sh", "-c", script], AROUND)


@pytest.mark.parametrize(
    ("script", "output", "code", "seconds"),
    [
        ("echo hi", "hi\n", 0, 0),
        ("exit 3", "", 3, 0),
        ("echo boom; exit 3; echo never", "boom\n", 3, 0),
        ("false && echo a || echo b", "b\n", 0, 0),
        ("true && false || true && echo c", "c\n", 0, 0),
        ("echo $A ${A}x '$A' \"$A b\" $NONE.", "1 1x $A 1 b .\n", 0, 0),
        ("for i in 1 2 3; do echo $i; sleep 1; done", "1\n2\n3\n", 0, 3),
        ("if false; then echo a; else echo b; fi", "b\n", 0, 0),
        ("x=5; echo $x $?", "5 0\n", 0, 0),
        ("sleep 0.5 && echo done > /dev/null", "", 0, 0.5),
        ("echo a # not this\necho b", "a\nb\n", 0, 0),
        ("cat /etc/conf/key; cat /nowhere", "value\n", 1, 0),
        ("test -f /etc/conf/key && [ $A = 1 ] && hostname", "box\n", 0, 0),
        ("echo a > /tmp/x; echo b >> /tmp/x; cat /tmp/x; rm /tmp/x; test -f /tmp/x", "a\nb\n", 1, 0),
        ("touch /a/b; test -d /a && ls /a", "b\n", 0, 0),
        ("seq 2; printf '%s-%s' a b; date", "1\n2\na-btoday\n", 0, 0),
    ],
)
def test_a_shell_of_a_few_commands(script: str, output: str, code: int, seconds: float) -> None:
    found = sh(script)
    assert (found.output, found.exit_code, found.duration_ns) == (output, code, round(seconds * SECOND_NS))


def test_what_is_said_on_stderr() -> None:
    found = sh("echo a >&2; echo b 1>&2; echo c > /dev/stderr; echo d > /dev/stdout; echo 1")
    assert (found.output, found.errors) == ("d\n1\n", "a\nb\nc\n")


@pytest.mark.parametrize("script", ["sleep infinity", "while true; do echo x; sleep 5; done", "tail -f /dev/null"])
def test_what_goes_on_for_ever(script: str) -> None:
    assert sh(script).duration_ns == FOREVER


def test_the_lines_of_a_loop_are_written_in_their_time() -> None:
    lines = sh("for i in a b; do sleep 2; echo $i; done").lines
    assert lines == ((2 * SECOND_NS, "a\n"), (4 * SECOND_NS, "b\n"))


@pytest.mark.parametrize(
    "script", ["tar xf -", "curl http://web", "echo $(date)", "echo a | cat", "echo 'x", "do", "for", "if true", "(x)"]
)
def test_what_is_not_known_is_named_and_not_guessed_at(script: str) -> None:
    with pytest.raises(NotKnownError):
        sh(script)
    assert commands.run(["sh", "-c", script], AROUND) is None


@given(st.text("abdox ;&|$'\"\\{}()\n<>#=123", max_size=30))
def test_no_script_breaks_it(script: str) -> None:
    commands.run(["sh", "-c", script], AROUND)


def test_the_dictionary_is_that_of_the_protocol() -> None:
    """Both sides must have the same bytes; zlib names a dictionary by this sum of it."""
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


def test_frames_arrive_however_they_are_cut() -> None:
    pack = zlib.compressobj(zdict=DICTIONARY)
    block = b"\0\0\0\2" + b"\0\0\0\4port\0\0\0\00280" + b"\0\0\0\nstreamtype\0\0\0\4data"
    packed = pack.compress(block) + pack.flush(zlib.Z_SYNC_FLUSH)
    payload = b"\0\0\0\1" + b"\0" * 6 + packed
    sent = b"\x80\3\0\1\0" + len(payload).to_bytes(3, "big") + payload + Session.data(1, b"GET /", ended=True)
    for cut in range(len(sent)):
        session = Session()
        frames = [*session.received(sent[:cut]), *session.received(sent[cut:])]
        assert frames == [Opened(1, {"port": "80", "streamtype": "data"}, ended=False), Data(1, b"GET /", ended=True)]


@given(st.binary(max_size=200))
def test_noise_is_no_frame(noise: bytes) -> None:
    with contextlib.suppress(DamagedError):
        Session().received(noise)
