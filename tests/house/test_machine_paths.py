"""Nothing that is committed names a place on the machine that it was made on."""

from __future__ import annotations

import re

import pytest

from tests.house.source import ROOT, committed

PLACE = re.compile(rb"(?<![\w.$}~/-])/(?:work|root|home/\w+|Users/\w+|opt/\w+|mnt/\w+)/|[A-Z]:\\\\Users\\\\")
ALLOWED = {"tests/house/test_machine_paths.py"}


def test_no_file_names_a_place_on_a_machine() -> None:
    found = []
    for path in committed():
        data = (ROOT / path).read_bytes()
        if str(path) in ALLOWED or b"\0" in data[:8000]:
            continue
        for hit in PLACE.finditer(data):
            line = data[: hit.start()].count(b"\n") + 1
            found.append(f"{path}:{line}: {hit.group().decode()}")
    assert found == []


@pytest.mark.parametrize("text", [b"see /work/it", b"'/home/me/x'", b"(/root/.cache)", b"C:\\\\Users\\\\"])
def test_the_rule_sees(text: bytes) -> None:
    assert PLACE.search(text)


@pytest.mark.parametrize(
    "text", [b"../work/a", b"https://example.org/work/", b"$HOME/work/", b"/usr/bin/python", b"/proc"]
)
def test_what_it_lets_pass(text: bytes) -> None:
    assert not PLACE.search(text)
