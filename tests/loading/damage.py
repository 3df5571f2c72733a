"""Sound input damaged: bytes, rows, cells, values of documents, depth, aliases, columns of Parquet."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.model.errors import UserError
from harness.model.loading import BY_HAND, load_all

PIECES = [
    b"", b"\n", b":", b"- ", b"{", b"]", b"&a ", b"*a", b"!!", b"\t", b"0x", b"null", b"~", b"\0", b"\xc3\xa9", b"<<: ",
    b"<<: *a", b"\xff", b"\xfe\xff", b",", b";", b'"', b"'", b"#", b"\r", b"\r\n", b"---\n", b"-", b"%", b"| ",
    b"> ", b"\\u0000", b"\\ud800", b"\xef\xbb\xbf", b"=", b"? ", b"[]", b"{}", b"inf", b"nan", b"1e999", b"-1",
    b"99999999999999999999",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30, 1.5, -0.5, 1e18, 1e300,
    float("inf"), float("-inf"), float("nan"), "", " ", "\0", "a\0b", "x" * 300, "é", "-1", "1Ei", "8Ei", "1e30",
    "1e999999999", "9" * 50, "99999999h", "-5s", "1h1h", "0", "0s", "5m", "nan", "inf", ".inf", "{seed}",
    "{nosuch}", "a/b/c", "../..", "/dev/zero",
    "*", "a:b", "json:loads", "2025-01-01T00:00:00Z", "2025-99-99", "1" * 5000, [], {}, [[]], [{}], {"": ""}, {"a": 1},
    [None], ["x"], [1, "a", None], {"x": {"y": {"z": []}}},
]  # fmt: skip
ROWS = [b"", b",,,,", b"a" * 70000, b"\0" * 9, b'"', b"1e400", b"-9223372036854775809", b"1;2;3", b"nan,inf,-inf"]


LARGEST = 4 << 20
"""Bytes of an input: what is damaged several times may grow without end."""


def damaged(rng: random.Random, sound: Sequence[bytes], suffix: str) -> bytes:
    """One of the sound inputs of files with such a name, damaged once or more."""
    raw = rng.choice(sound)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        raw = rng.choice(_damages(suffix))(rng, raw)[:LARGEST]
    return raw


def _damages(suffix: str) -> list[Callable[[random.Random, bytes], bytes]]:
    plain = [_insert, _insert, _cut, _flip, _repeat, _delete, _swap_rows, _row]
    if suffix in (".yaml", ".json"):
        return [*plain, _value, _value, _value, _value, _key, _deep]
    if suffix == ".parquet":
        return [*plain, *[_frame] * 20]
    return [*plain, _cell, _cell, _cell]


def _insert(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randint(0, len(raw))
    return raw[:at] + rng.choice(PIECES) + raw[at:]


def _cut(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randint(0, len(raw))]


def _flip(rng: random.Random, raw: bytes) -> bytes:
    if not raw:
        return raw
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 4, 30))):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _repeat(rng: random.Random, raw: bytes) -> bytes:
    first, last = sorted((rng.randint(0, len(raw)), rng.randint(0, len(raw))))
    return raw[:last] + raw[first:last] * rng.choice((1, 2, 20)) + raw[last:]


def _delete(rng: random.Random, raw: bytes) -> bytes:
    first = rng.randint(0, len(raw))
    return raw[:first] + raw[first + rng.choice((1, 3, 20)) :]


def _swap_rows(rng: random.Random, raw: bytes) -> bytes:
    rows = raw.split(b"\n")
    first, last = rng.randrange(len(rows)), rng.randrange(len(rows))
    rows[first], rows[last] = rows[last], rows[first]
    return b"\n".join(rows)


def _row(rng: random.Random, raw: bytes) -> bytes:
    rows = raw.split(b"\n")
    rows.insert(rng.randint(0, len(rows)), rng.choice(ROWS))
    return b"\n".join(rows)


def _cell(rng: random.Random, raw: bytes) -> bytes:
    """One field of a row of text is another value."""
    rows = raw.split(b"\n")
    at = rng.randrange(len(rows))
    separator = b"," if b"," in rows[at] else b" "
    cells = rows[at].split(separator)
    cells[rng.randrange(len(cells))] = str(rng.choice(VALUES)).encode(errors="replace")
    rows[at] = separator.join(cells)
    return b"\n".join(rows)


def _frame(rng: random.Random, raw: bytes) -> bytes:
    """A Parquet file with a column gone, of another name or type, or with another value in a row."""
    import polars as pl

    from workloads.readers.parquet import guarded

    try:
        frame = guarded(Path("x"), lambda: pl.read_parquet(io.BytesIO(raw)))
        name = rng.choice(frame.columns)
        match rng.randrange(6):
            case 0:
                frame = frame.drop(name)
            case 1:
                frame = frame.rename({name: rng.choice(("x", "", "extra.x"))})
            case 2:
                frame = frame.with_columns(pl.col(name).cast(pl.String))
            case 3:
                frame = frame.head(rng.choice((0, 1)))
            case 4:
                frame = pl.concat([frame, frame]).sample(fraction=1.0, shuffle=True, seed=rng.randrange(99))
            case _:
                values = frame[name].cast(pl.String).to_list()
                values[rng.randrange(len(values))] = str(rng.choice(VALUES)).encode(errors="replace").decode()
                column = pl.Series(name, values)
                dtype = frame[name].dtype
                column = column if dtype == pl.String else column.cast(dtype, strict=False)
                frame = frame.with_columns(column)
        out = io.BytesIO()
        frame.write_parquet(out)
        return out.getvalue()
    except (pl.exceptions.PolarsError, UserError, IndexError, OSError, ValueError):
        return raw


def _edited(rng: random.Random, raw: bytes, edit: Callable[[random.Random, Any, Any], None]) -> bytes:
    """The document with one of its places changed; as it is where it can no longer be read."""
    try:
        # By our own reader, which is bounded: PyYAML's takes minutes for what was damaged before.
        documents = [document.data for document in load_all(raw.decode(), "x.yaml", BY_HAND)]
        data = rng.choice(documents)
        places = [(data, key) for data, key in _places(data)]
        if not places:
            return raw
        holder, key = rng.choice(places)
        edit(rng, holder, key)
        if rng.random() < 0.3 or raw[:1] == b"{":
            return "\n".join(json.dumps(document) for document in documents).encode(errors="replace")
        return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False).encode(errors="replace")
    except (UserError, yaml.YAMLError, ValueError, TypeError, RecursionError, AttributeError, IndexError):
        return raw


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _places(data: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield data, key
        if depth < 30:
            yield from _places(value, depth + 1)


def _value(rng: random.Random, raw: bytes) -> bytes:
    return _edited(rng, raw, lambda rng, holder, key: holder.__setitem__(key, rng.choice(VALUES)))


def _key(rng: random.Random, raw: bytes) -> bytes:
    def rename(rng: random.Random, holder: Any, key: Any) -> None:
        if isinstance(holder, dict):
            holder[rng.choice(("", "x", f"{key}x", str(key)[1:], "kind", "spec", "\0"))] = holder.pop(key)

    return _edited(rng, raw, rename)


def _deep(rng: random.Random, raw: bytes) -> bytes:
    """Deep, or many times the same by aliases."""
    if rng.random() < 0.5:
        return raw + rng.choice((b"[", b"{a: ", b"- ", b'{"a":')) * rng.choice((50, 3000, 100_000))
    rows = [b"x0: &x0 [1,1,1,1,1,1,1,1,1,1]"]
    rows += [b"x%d: &x%d [%s]" % (n, n, b",".join([b"*x%d" % (n - 1)] * 10)) for n in range(1, rng.choice((3, 9)))]
    return b"\n".join([*rows, raw]) if rng.random() < 0.5 else raw + b"\n" + b"\n".join(rows)
