"""What reads an input that may be damaged, and the sound inputs that damage starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reader:
    """`sound`: inputs that can be read, to be damaged; `read` takes the file. `suffix` of its name.
    `refuses`: sound input, too, as a server does that has such an object already."""

    name: str
    suffix: str
    sound: tuple[bytes, ...]
    read: Callable[[Path], object]
    refuses: bool = False
