"""What can be done to a node: plain values, carried from the fault timeline to the machine that suffers them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Crash(msgspec.Struct, frozen=True, tag="crash"):
    """Power is lost: containers and the kubelet's memory are gone. Back after `down_ns`, 0: never."""

    down_ns: int = 0


class Freeze(msgspec.Struct, frozen=True, tag="freeze"):
    """Everything on the node stands still for `for_ns`, then goes on where it was."""

    for_ns: int


class Partition(msgspec.Struct, frozen=True, tag="partition"):
    """The node's network reaches neither the API server nor other nodes for `for_ns`; containers run on."""

    for_ns: int


class ContainerCrash(msgspec.Struct, frozen=True, tag="container-crash"):
    """The first container of a pod ('namespace/name'; empty: the first running one) exits with `exit_code`."""

    pod: str = ""
    exit_code: int = 137


class Undo(msgspec.Struct, frozen=True, tag="undo"):
    """What a node suffers of one kind ends now: `what` is crash (power is back), freeze or partition."""

    what: str


class PullsFail(msgspec.Struct, frozen=True, tag="pulls-fail"):
    """The registry answers pulls with `does` until an instant (0: no longer), of images that match one of these
    patterns, or of all; this is no fault of the node, but every node has to know."""

    images: tuple[str, ...]
    does: str
    until_ns: int


REGISTRY = "registry"
"""What an outage of it calls the registry of images."""

NodeFault: TypeAlias = Crash | Freeze | Partition | ContainerCrash | Undo | PullsFail
