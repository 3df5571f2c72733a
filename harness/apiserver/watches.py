"""Who watches what: each change is queued for the addresses that watch its kind or its node, and sent in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.apiserver.node_references import NodeReferences
from harness.apiserver.server import ApiServer
from harness.engine.component import ADDED, DELETED, MODIFIED, LazyWatch, Relist, Watch
from harness.engine.messages import Delay, Post, PostAll
from harness.model.attachments import volumes_to_attach
from harness.model.core import Pod
from harness.model.meta import ApiObject, is_ready
from harness.model.objects import KINDS, Kind, kind_of
from harness.model.pod_references import REFERRED
from harness.model.status import ApiError
from harness.model.volumes import claims_of


class Watches:
    """A listener of the server. `delay` says when a watch event that is sent now arrives at an address."""

    def __init__(self, server: ApiServer, post: Post, post_all: PostAll, delay: Delay) -> None:
        self._server = server
        self._post = post
        self._post_all = post_all
        self._delay = self._usual_delay = delay
        self._late: dict[int, tuple[int, int]] = {}  # by address: so much later, until then
        self._last: dict[int, int] = {}  # of the late ones: when the last event arrives
        self._cut: dict[int, tuple[int, dict[str, int | None]]] = {}  # by address: until when, revisions by kind
        self._by_kind: dict[str, list[int]] = {}
        self._asleep: dict[tuple[int, str], LazyWatch] = {}  # by address and kind
        self._awaited: dict[str, dict[int, list[LazyWatch]]] = {}  # kind that is waited for: by address
        self._woken: dict[tuple[int, str], None] = {}
        self._by_node: dict[str, int] = {}  # pods by spec.nodeName
        self._changed: dict[str, list[Watch]] = {}
        self._changed_on: dict[int, list[Watch]] = {}  # by address, of the pods of one node
        self._references: NodeReferences | None = None
        server.listeners.append(self.enqueue_watch_event)

    def subscribe(self, address: int, kinds: tuple[str, ...], lazy: Sequence[LazyWatch] = ()) -> None:
        """Every change of these kinds from now on, and what is there as ADDED; of those in `lazy` when they are of use.

        Kinds that are not of use yet stay so when they are asked for again: by a component that was started again.
        """
        now = self._server.now
        at = self._delay(now, address)
        for watch in lazy:
            self._put_to_sleep(address, watch)
        for kind in kinds:
            if (address, kind) not in self._asleep:
                self._begin(at, address, kind, self._server.listed(kind))

    def end(self, now: int, address: int) -> None:
        """Whoever watched there is gone."""
        self.flush(now)
        for addresses in self._by_kind.values():
            if address in addresses:
                addresses.remove(address)
        asleep = [key for key in self._asleep if key[0] == address]
        for watch in {id(watch): watch for watch in map(self._asleep.__getitem__, asleep)}.values():
            self._await_no_longer(address, watch)
        for key in asleep:
            del self._asleep[key]
        self._cut.pop(address, None)

    # -- broken and late ones ------------------------------------------------------------------------------------------

    def cut(self, address: int, until: int, *, expired: bool) -> None:
        """All watches of `address` are broken, at what has been sent; `expired`: they cannot go on from there."""
        before, broken = self._cut.get(address, (0, {}))
        revision = -1 if expired else self._server.revision  # None: never listed
        for kind, addresses in self._by_kind.items():
            if address in addresses:
                addresses.remove(address)
                broken[kind] = revision
        if expired:
            broken = {kind: None if at is None else -1 for kind, at in broken.items()}
        self._cut[address] = (max(before, until), broken)

    def expire(self, now: int) -> list[int]:
        """Every watch of objects breaks beyond the history that there is. Whose they were: they are to be mended."""
        addresses = sorted({address for watching in self._by_kind.values() for address in watching} | set(self._cut))
        for address in addresses:
            self.cut(address, now, expired=True)
        return addresses

    def tell_references(self) -> None:
        """Kubelets hear of ConfigMaps and Secrets that their pods name, from now on."""
        self._references = NodeReferences(self._server)

    def list_on_nodes(self, now: int) -> None:
        """Each kubelet lists its pods, what they name, and its node, again."""
        bound: dict[str, list[Any]] = {name: [] for name in self._by_node}
        for pod in self._server.listed("Pod"):
            if pod.spec.node_name in bound:
                bound[pod.spec.node_name].append(pod)
        for name, address in self._by_node.items():
            at = self._delay(now, address)
            node = self._server.objects("Node").get(name)
            self._post(at, address, Relist("Node", () if node is None else (node,)))
            if self._references is not None:
                self._references.end_node(address)
                told = [event.obj for pod in bound[name] for event in self._references.begin(address, pod)]
                for kind in REFERRED:
                    named = {obj.metadata.key: obj for obj in told if kind_of(obj) == kind}
                    self._post(at, address, Relist(kind, tuple(named.values())))
            for pod in bound[name]:
                for event in self._volumes_of(pod):
                    self._post(at, address, event)
            self._post(at, address, Relist("Pod", tuple(bound[name])))

    def is_broken(self, address: int) -> bool:
        return address in self._cut

    def mend(self, now: int, address: int) -> bool:
        """Broken watches go on, unless they were broken again meanwhile; whether they do."""
        until, broken = self._cut.get(address, (now + 1, {}))
        if now < until:
            return False
        del self._cut[address]
        # First lists arrive together, ahead of changes: who has just started does nothing before all of it is there.
        # Source: client-go tools/cache WaitForNamedCacheSync, which every controller calls before its workers start.
        at = self._delay(now, address)
        for kind in [kind for kind, revision in broken.items() if revision is None]:
            self._begin(at, address, kind, self._server.listed(kind))
        for kind, revision in broken.items():
            if revision is not None:
                self._by_kind.setdefault(kind, []).append(address)
                self.resume(now, address, kind, revision)
        return True

    def make_late(self, address: int, late_ns: int, until: int) -> None:
        """What is sent to `address` before `until` arrives so much later, and nothing overtakes it."""
        self._late[address] = (late_ns, until)
        self._delay = self.delay

    def delay(self, now: int, address: int) -> int:
        """When a watch event that is sent now arrives."""
        at = self._usual_delay(now, address)
        late = self._late.get(address)
        if late is None:
            return at
        late_ns, until = late
        if now >= until and at >= self._last.get(address, 0):
            del self._late[address]
            self._last.pop(address, None)
            return at
        at = self._last[address] = max(at + late_ns if now < until else at, self._last.get(address, 0))
        return at

    def _begin(self, at: int, address: int, kind: str, there: Iterable[Any]) -> None:
        if address in self._cut:
            self._cut[address][1].setdefault(kind, None)  # listed when the watches are made again
            return
        addresses = self._by_kind.setdefault(kind, [])
        if address not in addresses:  # a component that was started again asks again
            addresses.append(address)
        for obj in there:
            self._post(at, address, Watch(ADDED, obj))

    def _put_to_sleep(self, address: int, watch: LazyWatch) -> None:
        for kind, is_it in watch.until.items():
            if any(is_it is None or is_it(obj) for obj in self._server.listed(kind)):
                return
        for kind in watch.kinds:
            self._asleep[address, kind] = watch
        for kind in watch.until:
            self._awaited.setdefault(kind, {}).setdefault(address, []).append(watch)

    def _wake(self, kind: str, obj: ApiObject) -> None:
        """`obj` may be what some lazy watches wait for; they begin when what has changed is sent."""
        for address, watches in list(self._awaited[kind].items()):
            for watch in watches.copy():
                is_it = watch.until[kind]
                if is_it is None or is_it(obj):
                    self._woken.update(((address, name), None) for name in watch.kinds)
                    self._await_no_longer(address, watch)

    def _await_no_longer(self, address: int, watch: LazyWatch) -> None:
        for name in watch.until:
            awaited = self._awaited[name]
            awaited[address].remove(watch)
            if not awaited[address]:
                del awaited[address]
            if not awaited:
                del self._awaited[name]

    def subscribe_node(self, address: int, node: str) -> None:
        """Pods bound to `node`."""
        self._by_node[node] = address

    def unsubscribe_node(self, node: str) -> None:
        address = self._by_node.pop(node, None)
        if address is not None and self._references is not None:
            self._references.end_node(address)

    def send_initial_list(self, now: int, address: int, node: str) -> None:
        """A kubelet lists its pods, and whatever else its node watches (a proxy: services and their endpoints)."""
        at = self._delay(now, address)
        for kind, addresses in self._by_kind.items():
            if address in addresses:
                for obj in self._server.listed(kind):
                    self._post(at, address, Watch(ADDED, obj))
        known: Any = self._server.objects("Node").get(node)
        if known is not None and known.status.volumes_attached:
            self._post(at, address, Watch(ADDED, known))  # before its kubelet was there
        for pod in self._server.listed("Pod"):
            if pod.spec.node_name == node:
                for event in (*self._begin_references(address, pod), *self._volumes_of(pod)):
                    self._post(at, address, event)
                self._post(at, address, Watch(ADDED, pod))

    def _begin_references(self, address: int, pod: Pod) -> Iterator[Watch]:
        return iter(()) if self._references is None else self._references.begin(address, pod)

    def _volumes_of(self, pod: Any) -> list[Watch]:
        """What a kubelet reads of the volumes that its pod uses, where they must be attached: told ahead of the pod.
        Source: pkg/kubelet/volumemanager/populator getPVCExtractPV, getPVSpec: it asks for claim and volume."""
        if not claims_of(pod):
            return []
        objects = self._server.objects
        found = volumes_to_attach(
            pod, objects("PersistentVolumeClaim"), objects("PersistentVolume"), objects("CSIDriver")
        )
        return [Watch(ADDED, volume) for volume in found]

    def enqueue_watch_event(
        self, kind: Kind, change: str, obj: ApiObject, old: ApiObject | None, revision: int
    ) -> None:
        name = kind.kind
        if name in self._awaited:
            self._wake(name, obj)
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
                    if old is not None and change == MODIFIED and not old.spec.node_name:
                        change, old = ADDED, None
                    event = Watch(change, obj, old)
                    if self._references is not None and change != MODIFIED:
                        self._follow_references(self._references, address, change, obj)
                    events = [*self._volumes_of(obj), event] if change == ADDED else [event]
                    queued = self._changed_on.get(address)
                    if queued is None:
                        self._changed_on[address] = events
                    else:
                        queued += events

        elif (
            name == "Node"
            and change == MODIFIED
            and (not is_ready(obj.status.conditions) or _differs_for_its_kubelet(obj, old))
        ):
            # A kubelet watches its node; what concerns it there is being called not ready, what it is said to have, and
            # which volumes are attached.
            address = self._by_node.get(obj.metadata.name)
            if address is not None:
                self._changed_on.setdefault(address, []).append(Watch(change, obj, old))
        elif self._references is not None:
            for address in self._references.addresses(name, obj.metadata.key):
                self._changed_on.setdefault(address, []).append(Watch(change, obj, old))

    def _follow_references(self, references: NodeReferences, address: int, change: str, pod: Pod) -> None:
        """What the pod names is told ahead of it."""
        if change == DELETED:
            references.end(address, pod)
        elif told := list(references.begin(address, pod)):
            self._changed_on.setdefault(address, []).extend(told)

    def flush(self, now: int) -> None:
        """Send what changed; called after each batch, and by whoever writes from outside the loop."""
        woken: dict[tuple[int, str], None] = {}
        if self._woken:
            woken, self._woken = self._woken, {}
            for address, kind in woken:
                del self._asleep[address, kind]
                # In the order in which they were created, as they would have been heard of.
                self._begin(self._delay(now, address), address, kind, self._server.objects(kind).values())
        if self._changed:
            changed, self._changed = self._changed, {}
            for kind, events in changed.items():
                for address in self._by_kind[kind]:
                    if woken and (address, kind) in woken:
                        continue  # what was listed is what has become of it
                    self._post_all(self._delay(now, address), address, events)
        if self._changed_on:
            on, self._changed_on = self._changed_on, {}
            for address, events in on.items():
                self._post_all(self._delay(now, address), address, events)

    def resume(self, now: int, address: int, kind: str, revision: int) -> None:
        """A watch of `kind` goes on after `revision`: the changes since; where they are gone, or at -1, everything."""
        at = self._delay(now, address)
        try:
            changes = self._server.changes_since(KINDS[kind], revision) if revision >= 0 else None
        except ApiError:
            changes = None
        if changes is None:
            self._post(at, address, Relist(kind, tuple(self._server.listed(kind))))
            return
        for change, obj, old, _ in changes:
            self._post(at, address, Watch(change, obj, old, obj.metadata.key))


def _differs_for_its_kubelet(new: ApiObject, old: ApiObject) -> bool:
    return old is not None and (
        new.status.capacity != old.status.capacity or new.status.volumes_attached != old.status.volumes_attached
    )
