"""Kubernetes quantities: exact, canonical, and integers inside.

Source: apimachinery's resource.Quantity (pkg/api/resource/quantity.go): a value keeps its suffix family
(binary, decimal or exponent) and is written with the largest suffix that leaves no fraction.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import IntEnum
from functools import lru_cache

import msgspec


class QuantityFormat(IntEnum):
    DECIMAL = 0  # m, k, M, G, ..
    BINARY = 1  # Ki, Mi, Gi, ..
    EXPONENT = 2  # 1e3


_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}
_PATTERN = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]?))$", re.ASCII)

PATTERN = r"^\s*\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE]?)\s*$"
"""What `parse_quantity` reads, but for what is negative, as a pattern of a JSON Schema."""


class Quantity(msgspec.Struct, frozen=True, gc=False, array_like=True, order=False):
    """An amount in thousandths of its unit; values finer than a thousandth round up, as Kubernetes rounds."""

    milli: int
    form: QuantityFormat = QuantityFormat.DECIMAL

    @property
    def value(self) -> int:
        """In whole units, rounded up (Quantity.Value())."""
        return -(-self.milli // 1000)

    def __str__(self) -> str:
        return _text(self)


LONGEST_TEXT = 64
"""Characters of a quantity: enough for every digit of 2^63 before and after the point."""

MOST = (1 << 63) - 1
"""Units, in either direction. Source: resource.Quantity: 'no quantity may be greater than 2^63-1 in magnitude'; what is
larger is capped there, and an error here."""


@lru_cache(maxsize=65536)
def parse_quantity(text: str | int | float) -> Quantity:
    """'100m', '1.5', '2Gi', '1e3' or a number. Raises ValueError on anything else, and beyond 2^63-1."""
    written = str(text).strip()
    match = _PATTERN.match(written) if len(written) <= LONGEST_TEXT else None
    if match is None:
        raise ValueError(f"{_shown(text)} is not a quantity (expected e.g. 250m, 2, 1.5Gi)")
    number, exponent, suffix = match.groups()
    if exponent and abs(int(exponent[1:])) > LONGEST_TEXT:
        raise ValueError(f"{_shown(text)} is out of range (at most 2^63-1)")
    amount = Decimal(number)
    form = QuantityFormat.DECIMAL
    if exponent:
        amount = amount.scaleb(int(exponent[1:]))
        form = QuantityFormat.EXPONENT
    elif suffix in _BINARY:
        amount *= _BINARY[suffix]
        form = QuantityFormat.BINARY
    else:
        amount *= _DECIMAL[suffix or ""]
    thousandths = amount * 1000
    if abs(amount) > MOST:
        raise ValueError(f"{_shown(text)} is out of range (at most 2^63-1)")
    floor = int(thousandths)
    milli = floor if thousandths == floor or thousandths < 0 else floor + 1
    return Quantity(milli, form)


def _shown(text: str | int | float) -> str:
    return repr(text) if len(str(text)) <= LONGEST_TEXT else f"{str(text)[:20]!r}.."


@lru_cache(maxsize=65536)
def _text(quantity: Quantity) -> str:
    milli = quantity.milli
    if milli == 0:
        return "0"
    if quantity.form is QuantityFormat.BINARY and milli % 1000 == 0:
        value = milli // 1000
        for suffix in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
            if value % _BINARY[suffix] == 0:
                return f"{value // _BINARY[suffix]}{suffix}"
        return str(value)
    if milli % 1000:
        return f"{milli}m"
    value, power = milli // 1000, 0
    while value % 1000 == 0 and power < 18:
        value //= 1000
        power += 3
    if quantity.form is QuantityFormat.EXPONENT:
        return f"{value}e{power}" if power else str(value)
    return f"{value}{ {0: '', 3: 'k', 6: 'M', 9: 'G', 12: 'T', 15: 'P', 18: 'E'}[power] }"


def milli_quantity(milli: int) -> Quantity:
    """CPU, in thousandths of a core."""
    return Quantity(milli)


def bytes_quantity(value: int) -> Quantity:
    """Memory, in bytes, written with binary suffixes where they fit."""
    return Quantity(value * 1000, QuantityFormat.BINARY)


def count_quantity(value: int) -> Quantity:
    """Whole units: pods, devices."""
    return Quantity(value * 1000)


MOST_CORES = 10**9
MOST_OF_OTHERS = 1 << 50
"""Some thousand times the largest machine (1 PiB of memory): sums over a cluster stay within 64 bits."""


def too_much(resource: str, quantity: Quantity) -> str:
    """What is wrong with so much of a node's resource, '' when nothing is."""
    most = MOST_CORES if resource == "cpu" else MOST_OF_OTHERS
    return f"more than can be simulated, which is {most:,}" if quantity.value > most else ""
