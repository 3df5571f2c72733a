"""What kubelets watch besides pods: the ConfigMaps and Secrets that the pods of their node name, and no others.

Source: pkg/kubelet/util/manager/watch_based_manager.go (1.32). Here the server knows from the pod itself what its
kubelet is about to ask for, and tells it ahead of the pod.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.apiserver.server import ApiServer
from harness.engine.component import ADDED, Watch
from harness.model.core import Pod
from harness.model.pod_references import REFERRED, referred_by


class NodeReferences:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._watched: dict[tuple[str, str], dict[int, set[str]]] = {}  # uids of pods, by object and by address

    def begin(self, address: int, pod: Pod) -> Iterator[Watch]:
        """The pod is on the node at `address`: what of all that it names is there."""
        for kind, key in sorted(referred_by(pod)):
            self._watched.setdefault((kind, key), {}).setdefault(address, set()).add(pod.metadata.uid)
            held = self._server.objects(kind).get(key)
            if held is not None:
                yield Watch(ADDED, held)

    def end(self, address: int, pod: Pod) -> None:
        """The pod is gone from there."""
        for reference in referred_by(pod):
            at = self._watched.get(reference, {})
            pods = at.get(address, set())
            pods.discard(pod.metadata.uid)
            if not pods:
                at.pop(address, None)
            if not at:
                self._watched.pop(reference, None)

    def end_node(self, address: int) -> None:
        """The node is gone, whatever ran there."""
        for reference, at in list(self._watched.items()):
            at.pop(address, None)
            if not at:
                del self._watched[reference]

    def addresses(self, kind: str, key: str) -> list[int]:
        """Who is told of a change of an object."""
        return sorted(self._watched.get((kind, key), ())) if kind in REFERRED else []
