"""Who watches what: each change is queued for the addresses that watch its kind or its node, and sent in batches."""

from __future__ import annotations

from typing import Any

from harness.apiserver.server import ApiServer
from harness.engine.component import ADDED, MODIFIED, Relist, Watch
from harness.engine.messages import Delay, Post, PostAll
from harness.model.objects import KINDS, Kind
from harness.model.status import ApiError


class Watches:
    """A listener of the server. `delay` says when a watch event that is sent now arrives at an address."""

    def __init__(self, server: ApiServer, post: Post, post_all: PostAll, delay: Delay) -> None:
        self._server = server
        self._post = post
        self._post_all = post_all
        self._delay = delay
        self._by_kind: dict[str, list[int]] = {}
        self._by_node: dict[str, int] = {}  # pods by spec.nodeName
        self._changed: dict[str, list[Watch]] = {}
        self._changed_on: dict[int, list[Watch]] = {}  # by address, of the pods of one node
        server.listeners.append(self.enqueue_watch_event)

    def subscribe(self, address: int, kinds: tuple[str, ...]) -> None:
        """Every change of these kinds from now on, and what is there as ADDED."""
        now = self._server.now
        at = self._delay(now, address)
        for kind in kinds:
            addresses = self._by_kind.setdefault(kind, [])
            if address not in addresses:  # a component that was started again asks again
                addresses.append(address)
            for obj in self._server.listed(kind):
                self._post(at, address, Watch(ADDED, obj))

    def subscribe_node(self, address: int, node: str) -> None:
        """Pods bound to `node`."""
        self._by_node[node] = address

    def unsubscribe_node(self, node: str) -> None:
        self._by_node.pop(node, None)

    def send_initial_list(self, now: int, address: int, node: str) -> None:
        """A kubelet lists its pods, and whatever else its node watches (a proxy: services and their endpoints)."""
        at = self._delay(now, address)
        for kind, addresses in self._by_kind.items():
            if address in addresses:
                for obj in self._server.listed(kind):
                    self._post(at, address, Watch(ADDED, obj))
        for pod in self._server.listed("Pod"):
            if pod.spec.node_name == node:
                self._post(at, address, Watch(ADDED, pod))

    def enqueue_watch_event(self, kind: Kind, change: str, obj: Any, old: Any, revision: int) -> None:
        name = kind.kind
        if name in self._by_kind:
            event = Watch(change, obj, old, obj.metadata.key)
            queued = self._changed.get(name)
            if queued is None:
                self._changed[name] = [event]
            else:
                queued.append(event)
        if name == "Pod":
            node = obj.spec.node_name
            if node:
                address = self._by_node.get(node)
                if address is not None:
                    if change == MODIFIED and not old.spec.node_name:
                        change, old = ADDED, None
                    event = Watch(change, obj, old)
                    queued = self._changed_on.get(address)
                    if queued is None:
                        self._changed_on[address] = [event]
                    else:
                        queued.append(event)

        elif name == "Node" and change == MODIFIED and not _is_ready(obj):
            # A kubelet watches its node; what concerns it there is being called not ready.
            address = self._by_node.get(obj.metadata.name)
            if address is not None:
                self._changed_on.setdefault(address, []).append(Watch(change, obj, old))

    def flush(self, now: int) -> None:
        """Send what changed; called after each batch, and by whoever writes from outside the loop."""
        if self._changed:
            changed, self._changed = self._changed, {}
            for kind, events in changed.items():
                for address in self._by_kind[kind]:
                    self._post_all(self._delay(now, address), address, events)
        if self._changed_on:
            on, self._changed_on = self._changed_on, {}
            for address, events in on.items():
                self._post_all(self._delay(now, address), address, events)

    def resume(self, now: int, address: int, kind: str, revision: int) -> None:
        """A watch of `kind` goes on after `revision`: the changes since, or, when they are gone, everything."""
        at = self._delay(now, address)
        try:
            for change, obj, old, _ in self._server.changes_since(KINDS[kind], revision):
                self._post(at, address, Watch(change, obj, old))
        except ApiError:
            self._post(at, address, Relist(kind, tuple(self._server.listed(kind))))


def _is_ready(node: Any) -> bool:
    return any(item.type == "Ready" and item.status == "True" for item in node.status.conditions)
