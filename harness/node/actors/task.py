"""A piece of work that a Ray worker does: a function and its arguments, pickled, as their modules stand."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Sequence

from harness.node.actors.actor import find_modules


def run_work(work: bytes, path: Sequence[str], folder: str) -> bytes:
    """Finds the same modules and files as the process that asked; on a machine without its folder, those of its own."""
    find_modules(path)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        os.chdir(folder)
    function, arguments = pickle.loads(work)
    return pickle.dumps(function(*arguments))
