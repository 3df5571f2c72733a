"""What a pod takes of the cluster where it is placed: all that assume and forget must know of it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.scheduling.state.host_ports import HostPort


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of every pod of one class; its GPU devices aside, which are chosen by pod.

    `amounts`: (resource row, amount) of what is requested, plain ints, in milli-CPU, bytes, pods and units.
    `claims`: 'namespace/name'. `non_requested`: milli-CPU and bytes beyond the requests that kube-scheduler's scores
    assume for containers without any (util.GetNonzeroRequests); () for none.
    """

    amounts: tuple[tuple[int, int], ...]
    ports: tuple[HostPort, ...] = ()
    claims: tuple[str, ...] = ()
    non_requested: tuple[int, ...] = ()
