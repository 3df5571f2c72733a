"""What a component knows of the cluster: the newest version of each object that its watches brought, with indexes.

Source: k8s.io/client-go tools/cache (shared informer, indexer).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from harness.engine.component import ADDED, DELETED, Relist, Watch
from harness.model.objects import KINDS, Unstructured, kind_of

Handler: TypeAlias = Callable[[Any, Any], None]
"""(before, after) of one object; None where it did not exist yet, or does no longer."""

_EMPTY: dict[str, Any] = {}


class Index:
    """The objects of a kind by a value of theirs: `index[value]` is {key: object}, in order of arrival."""

    def __init__(self, values_of: Callable[[Any], Iterable[Hashable]]) -> None:
        self._values_of = values_of
        self._buckets: dict[Hashable, dict[str, Any]] = {}

    def __getitem__(self, value: Hashable) -> Mapping[str, Any]:
        found = self._buckets.get(value)
        return _EMPTY if found is None else found

    def __iter__(self) -> Iterator[Hashable]:
        """The values that some object has."""
        return iter(self._buckets)

    def __contains__(self, value: Hashable) -> bool:
        return value in self._buckets

    def __len__(self) -> int:
        return len(self._buckets)

    def changed(self, key: str, old: Any, new: Any) -> None:
        was = () if old is None else self._values_of(old)
        now = () if new is None else self._values_of(new)
        if was == now:
            for value in now:
                self._buckets[value][key] = new
            return
        for value in was:
            bucket = self._buckets[value]
            del bucket[key]
            if not bucket:
                del self._buckets[value]
        for value in now:
            self._buckets.setdefault(value, {})[key] = new

    def clear(self) -> None:
        self._buckets.clear()


class _Shelf:
    """All of one kind."""

    __slots__ = ("ahead", "handler", "held", "indexes", "keeps")

    def __init__(self, handler: Handler | None, keeps: Callable[[Any], bool] | None) -> None:
        self.handler = handler
        self.keeps = keeps
        self.held: dict[str, Any] = {}
        self.indexes: list[Index] = []
        self.ahead: dict[str, int] = {}  # key -> revision, of what was taken from an Outcome before its Watch came


class Informer:
    """The latest of every object that its component was told of, by kind and key ('namespace/name' or 'name').

    `handlers` names the kinds; a handler is called after the cache and its indexes show the change. The same
    handler serves Watch and Relist: what a Relist leaves out is deleted, what it changes is changed.

    `keeps`: by kind, which objects matter at all; one that ceases to matter is deleted as far as this cache goes.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler | None],
        keeps: Mapping[str, Callable[[Any], bool]] | None = None,
    ) -> None:
        keeps = keeps or {}
        self._shelves = {kind: _Shelf(handler, keeps.get(kind)) for kind, handler in handlers.items()}
        self._by_type = {
            KINDS[kind].type: shelf for kind, shelf in self._shelves.items() if KINDS[kind].type is not Unstructured
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """In the order in which they were given."""
        return tuple(self._shelves)

    def objects(self, kind: str) -> Mapping[str, Any]:
        return self._shelves[kind].held

    def get(self, kind: str, key: str) -> Any:
        """None when there is none."""
        return self._shelves[kind].held.get(key)

    def index(self, kind: str, values_of: Callable[[Any], Iterable[Hashable]]) -> Index:
        """Keep an index of `kind`, of all values in the tuple that `values_of` gives. Made before the first event."""
        index = Index(values_of)
        self._shelves[kind].indexes.append(index)
        return index

    def take(self, event: Watch | Relist) -> None:
        """See what happened, and tell the handler."""
        if isinstance(event, Relist):
            self._relist(event)
            return
        obj = event.obj
        shelf = self._by_type.get(type(obj))
        if shelf is None:
            shelf = self._shelves[kind_of(obj)]
        gone = event.type == DELETED or (shelf.keeps is not None and not shelf.keeps(obj))
        if gone and not shelf.held:
            return  # most of what many controllers hear of
        meta = obj.metadata
        key = f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
        if gone:
            held = shelf.held.get(key)
            if held is not None and held.metadata.uid == meta.uid:  # else: news of one that another has replaced
                self._remove(shelf, key)
        else:
            if event.type == ADDED and key in shelf.held and shelf.held[key].metadata.uid != meta.uid:
                self._remove(shelf, key)
            self._put(shelf, key, obj)

    def written(self, obj: Any) -> None:
        """Read one's own write: an Outcome's object, ahead of its Watch.

        Only for what is known already: an object that is not here may have come and gone, so what one creates must
        be awaited (see Expectations).
        """
        shelf = self._by_type.get(type(obj))
        if shelf is None:
            shelf = self._shelves[kind_of(obj)]
        key = obj.metadata.key
        held = shelf.held.get(key)
        if held is None or held.metadata.uid != obj.metadata.uid:
            return
        if shelf.keeps is not None and not shelf.keeps(obj):
            return  # older news on its way would only bring it back
        revision = int(obj.metadata.resource_version)
        if revision > int(held.metadata.resource_version):
            self._put(shelf, key, obj)
            shelf.ahead[key] = revision

    def clear(self) -> None:
        """Forget everything, telling nobody."""
        for shelf in self._shelves.values():
            shelf.held.clear()
            shelf.ahead.clear()
            for index in shelf.indexes:
                index.clear()

    def _relist(self, event: Relist) -> None:
        shelf = self._shelves[event.kind]
        keeps = shelf.keeps
        now = {obj.metadata.key: obj for obj in event.objects if keeps is None or keeps(obj)}
        for key, held in list(shelf.held.items()):
            found = now.get(key)
            if found is None or found.metadata.uid != held.metadata.uid:
                self._remove(shelf, key)
        for key, obj in now.items():
            self._put(shelf, key, obj)

    def _put(self, shelf: _Shelf, key: str, obj: Any) -> None:
        old = shelf.held.get(key)
        if old is not None:
            if old is obj or _is_older(obj.metadata.resource_version, old.metadata.resource_version):
                return
            ahead = shelf.ahead
            if key in ahead:
                revision = int(obj.metadata.resource_version)
                if revision < ahead[key]:
                    return  # what is here is newer
                del ahead[key]
                if revision == int(old.metadata.resource_version):
                    return
        shelf.held[key] = obj
        for index in shelf.indexes:
            index.changed(key, old, obj)
        if shelf.handler is not None:
            shelf.handler(old, obj)

    def _remove(self, shelf: _Shelf, key: str) -> None:
        old = shelf.held.pop(key, None)
        if old is None:
            return
        shelf.ahead.pop(key, None)
        for index in shelf.indexes:
            index.changed(key, old, None)
        if shelf.handler is not None:
            shelf.handler(old, None)


def _is_older(version: str, than: str) -> bool:
    """Of two decimal numbers: a watch that was replayed tells what is known already."""
    return len(version) < len(than) or (len(version) == len(than) and version < than)
