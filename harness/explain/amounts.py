"""Amounts of resources as people write them."""

from __future__ import annotations


def shown(resource: str, amount: int) -> str:
    """`amount`: milli-CPU, bytes or units, not negative."""
    if resource == "cpu":
        return f"{amount / 1000:g}"
    if resource == "memory" or resource.endswith("storage"):
        for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
            if amount >= size and amount % size == 0:
                return f"{amount // size}{unit}"
        return f"{amount} bytes"
    return str(amount)
