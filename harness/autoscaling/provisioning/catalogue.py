"""Instance types and what they cost: what a provider can make, as data.

What of a machine is left for pods follows karpenter-provider-aws pkg/providers/instancetype/types.go (1.6): memory
that the hypervisor keeps (vm-memory-overhead-percent, 7.5 %; 64 MiB more on arm64), kube-reserved by CPUs and pods, and
the threshold of a hard eviction (100 MiB).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files

from harness.model.core import ResourceList
from harness.model.errors import UserError, did_you_mean
from harness.model.gpu import WHOLE_GPU
from harness.model.karpenter import ARCH, AWS, CAPACITY_TYPE, INSTANCE_TYPE, ON_DEMAND, OS, REGION, SPOT, ZONE
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity, parse_quantity
from harness.model.whole_numbers import whole_number

SHIPPED = "ec2-us-east-1"

_MI = 1 << 20
_VM_OVERHEAD = 0.075
_ARM_RESERVED_MI = 64
_EVICTION_MI = 100
_KUBE_RESERVED_MI, _KUBE_RESERVED_MI_PER_POD = 255, 11
_KUBE_RESERVED_CPU = ((0, 1000, 0.06), (1000, 2000, 0.01), (2000, 4000, 0.005), (4000, 1 << 31, 0.0025))
"""Share of the milli-CPUs from, to."""

COLUMNS = ("type", "arch", "cpu", "memory", "pods", "gpus", "gpu", "price")


@dataclass(frozen=True, slots=True)
class Offering:
    """An instance type in a zone, `on-demand` or `spot`, for `price` an hour."""

    zone: str
    capacity_type: str
    price: float


@dataclass(frozen=True)
class InstanceType:
    """`memory_bytes` as the provider lists it; `gpu`: the model, in lower case; prices of one machine for an hour."""

    name: str
    arch: str
    cpu_milli: int
    memory_bytes: int
    pods: int
    gpus: int = 0
    gpu: str = ""
    region: str = ""
    offerings: tuple[Offering, ...] = ()

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """That every machine of the type has. Source: computeRequirements of types.go."""
        out = {
            INSTANCE_TYPE: self.name,
            ARCH: self.arch,
            OS: "linux",
            f"{AWS}cpu": str(self.cpu_milli // 1000),
            f"{AWS}memory": str(self.memory_bytes // _MI),
        }
        if self.region:
            out[REGION] = self.region
        family, dot, size = self.name.partition(".")
        if dot:
            out[f"{AWS}family"], out[f"{AWS}size"] = family, size
            first = next((at for at, c in enumerate(family) if whole_number(c) is not None), len(family))
            out[f"{AWS}category"] = family[:first]
            if first < len(family):
                out[f"{AWS}generation"] = family[first]
        if self.gpus:
            out[f"{AWS}gpu-count"], out[f"{AWS}gpu-name"] = str(self.gpus), self.gpu
            out[f"{AWS}gpu-manufacturer"] = "nvidia"
        return out

    @cached_property
    def capacity(self) -> ResourceList:
        listed_mi = self.memory_bytes // _MI - (_ARM_RESERVED_MI if self.arch == "arm64" else 0)
        memory_mi = listed_mi - math.ceil(listed_mi * _VM_OVERHEAD)
        return self._resources(self.cpu_milli, memory_mi * _MI)

    @cached_property
    def allocatable(self) -> ResourceList:
        """Capacity without kube-reserved and the eviction threshold."""
        reserved_mi = _KUBE_RESERVED_MI + _KUBE_RESERVED_MI_PER_POD * self.pods
        memory = self.capacity["memory"].value - (reserved_mi + _EVICTION_MI) * _MI
        reserved = 0
        for first, last, share in _KUBE_RESERVED_CPU:
            if self.cpu_milli >= first:
                reserved += int((min(self.cpu_milli, last) - first) * share)
        return self._resources(self.cpu_milli - reserved, max(memory, 0))

    def price(self, zone: str, capacity_type: str) -> float | None:
        return next((o.price for o in self.offerings if (o.zone, o.capacity_type) == (zone, capacity_type)), None)

    def _resources(self, cpu_milli: int, memory: int) -> ResourceList:
        out = {
            "cpu": milli_quantity(cpu_milli),
            "memory": bytes_quantity(memory),
            "pods": count_quantity(self.pods),
        }
        if self.gpus:
            out[WHOLE_GPU] = count_quantity(self.gpus)
        return out


@dataclass(frozen=True)
class Catalogue:
    """`zones`: all that any offering names, in the order of the file."""

    name: str
    types: tuple[InstanceType, ...]
    zones: tuple[str, ...]
    by_name: Mapping[str, InstanceType] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {item.name: item for item in self.types})

    def price_of(self, labels: Mapping[str, str]) -> float | None:
        """Of a node with these labels for an hour; one that does not say how it was bought was bought on demand, one
        without a zone costs what the type costs in the first. None: its type is not in the catalogue."""
        found = self.by_name.get(labels.get(INSTANCE_TYPE, ""))
        if found is None or not found.offerings:
            return None
        return found.price(labels.get(ZONE) or found.offerings[0].zone, labels.get(CAPACITY_TYPE) or ON_DEMAND)


@cache
def shipped_catalogue(name: str = SHIPPED) -> Catalogue:
    """Raises UserError."""
    folder = files("harness.autoscaling.provisioning.catalogues")
    known = sorted(item.name.removesuffix(".csv") for item in folder.iterdir() if item.name.endswith(".csv"))
    if name not in known:
        expected = f"{', '.join(known)}, or a CSV file with the columns {','.join(COLUMNS)}"
        raise UserError("no such catalogue", found=name, expected=expected, hint=did_you_mean(name, known))
    return parse_catalogue(folder.joinpath(f"{name}.csv").read_text(encoding="utf-8"), name)


def parse_catalogue(text: str, name: str, path: str = "") -> Catalogue:
    """Comment lines `# zones: a b`, `# region: r` and `# spot: 0.4` (the spot price as a share; none: no spot), then a
    header and a row a type. Raises UserError with the line."""
    settings = {"zones": "", "region": "", "spot": ""}
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            key, colon, value = line[1:].strip().partition(":")
            if colon and key in settings:
                settings[key] = value.strip()
        elif line.strip():
            lines.append((number, line))
    read = _Reader(path or f"{name}.csv")
    if not lines:
        raise read.error(1, "there are no instance types")
    header = [item.strip() for item in lines[0][1].split(",")]
    if sorted(header) != sorted(COLUMNS):
        raise read.error(lines[0][0], "these are not the columns", ",".join(header), ",".join(COLUMNS))
    zones = tuple(settings["zones"].split()) or ("",)
    spot = read.share(settings["spot"]) if settings["spot"] else None
    types: dict[str, InstanceType] = {}
    for number, line in lines[1:]:
        row = next(csv.reader([line]))
        if len(row) != len(header):
            raise read.error(number, "a row has a value for each column", line, ",".join(header))
        made = read.type(number, dict(zip(header, (item.strip() for item in row), strict=True)), settings["region"])
        if made.name in types:
            raise read.error(number, "this instance type is there already", made.name)
        price = read.price(number, row[header.index("price")].strip())
        offerings = [Offering(zone, ON_DEMAND, price) for zone in zones]
        if spot is not None:
            offerings += [Offering(zone, SPOT, round(price * spot, 6)) for zone in zones]
        types[made.name] = InstanceType(
            made.name, made.arch, made.cpu_milli, made.memory_bytes, made.pods, made.gpus, made.gpu, made.region,
            tuple(offerings),
        )  # fmt: skip
    return Catalogue(name, tuple(types.values()), zones)


@dataclass(frozen=True, slots=True)
class _Reader:
    path: str

    def error(self, line: int, what: str, found: str = "", expected: str = "") -> UserError:
        return UserError(what, file=self.path, line=line, found=found or None, expected=expected or None)

    def type(self, line: int, row: Mapping[str, str], region: str) -> InstanceType:
        if not row["type"]:
            raise self.error(line, "an instance type has a name")
        if row["arch"] not in ("amd64", "arm64"):
            raise self.error(line, "no such architecture", row["arch"], "amd64 or arm64")
        return InstanceType(
            row["type"],
            row["arch"],
            self._amount(line, "cpu", row["cpu"]),
            self._amount(line, "memory", row["memory"]) // 1000,
            self._count(line, "pods", row["pods"]),
            self._count(line, "gpus", row["gpus"] or "0"),
            row["gpu"],
            region,
        )

    def _amount(self, line: int, column: str, text: str) -> int:
        try:
            milli = parse_quantity(text).milli
        except ValueError:
            milli = 0
        if milli <= 0:
            raise self.error(line, f"{column} is no amount", text, "as 2 or 8Gi")
        return milli

    def _count(self, line: int, column: str, text: str) -> int:
        found = whole_number(text)
        if found is None or not 0 <= found <= 100_000:
            raise self.error(line, f"{column} is a whole number", text)
        return found

    def price(self, line: int, text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not 0 <= found <= 1e9:
            raise self.error(line, "a price is a number from 0", text, "currency an hour, as 0.096")
        return found

    def share(self, text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = 0.0
        if not 0 < found <= 1:
            raise self.error(1, "the spot price is a share of the price on demand", text, "# spot: 0.4")
        return found
