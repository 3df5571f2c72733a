"""What a component knows of the cluster: the newest version of each object that its watches brought, with indexes.

Source: k8s.io/client-go tools/cache (shared informer, indexer).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from harness.engine.component import DELETED, Relist, Watch
from harness.model.meta import ApiObject
from harness.model.objects import KINDS, Unstructured, kind_of

Handler: TypeAlias = Callable[[ApiObject | None, ApiObject | None], None]
"""(before, after) of one object; None where it did not exist yet, or does no longer."""

_EMPTY: dict[str, ApiObject] = {}


class Index:
    """The objects of a kind by a value of theirs: `index[value]` is {key: object}, in the order in which they got it.

    It is made when it is first asked, and kept up to date from then on: what nobody asks costs nothing.
    """

    def __init__(
        self, held: Mapping[str, ApiObject], values_of: Callable[[ApiObject], Iterable[Hashable]], part: str = ""
    ) -> None:
        self._held = held
        self._values_of = values_of
        self._part = part
        self._buckets: dict[Hashable, dict[str, ApiObject]] = {}
        self.made = False

    def __getitem__(self, value: Hashable) -> Mapping[str, ApiObject]:
        self._make()
        found = self._buckets.get(value)
        return _EMPTY if found is None else found

    def __iter__(self) -> Iterator[Hashable]:
        """The values that some object has."""
        self._make()
        return iter(self._buckets)

    def __contains__(self, value: Hashable) -> bool:
        self._make()
        return value in self._buckets

    def __len__(self) -> int:
        self._make()
        return len(self._buckets)

    def _make(self) -> None:
        if not self.made:
            self.made = True
            for key, obj in self._held.items():
                self.changed(key, None, obj)

    def changed(self, key: str, old: ApiObject | None, new: ApiObject | None) -> None:
        if old is not None and new is not None:
            now = self._values_of(new)
            same = self._part and getattr(old, self._part) is getattr(new, self._part)
            if same or self._values_of(old) == now:
                for value in now:
                    self._buckets[value][key] = new
                return
        if old is not None:
            for value in self._values_of(old):
                bucket = self._buckets[value]
                del bucket[key]
                if not bucket:
                    del self._buckets[value]
        if new is not None:
            for value in self._values_of(new):
                self._buckets.setdefault(value, {})[key] = new

    def clear(self) -> None:
        self._buckets.clear()
        self.made = False


class _Shelf:
    """All of one kind."""

    __slots__ = ("ahead", "handler", "held", "indexes", "keeps")

    def __init__(self, handler: Handler | None, keeps: Callable[[ApiObject], bool] | None) -> None:
        self.handler = handler
        self.keeps = keeps
        self.held: dict[str, ApiObject] = {}
        self.indexes: list[Index] = []
        self.ahead: dict[str, int] = {}  # key -> revision, of what was taken from an Outcome before its Watch came


class Informer:
    """The latest of every object that its component was told of, by kind and key ('namespace/name' or 'name').

    `handlers` names the kinds; a handler is called after the informer and its indexes show the change. The same
    handler serves Watch and Relist: what a Relist leaves out is deleted, what it changes is changed. A watch that is
    replayed, and so tells older versions again, changes nothing.

    `keeps`: by kind, which objects matter at all; one that ceases to matter is deleted as far as this informer goes.
    `answering`: whether handlers are called because of the answer to a write of one's own, not of a watch.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler | None],
        keeps: Mapping[str, Callable[[ApiObject], bool]] | None = None,
    ) -> None:
        keeps = keeps or {}
        self.answering = False
        self._shelves = {kind: _Shelf(handler, keeps.get(kind)) for kind, handler in handlers.items()}
        self._by_type = {
            KINDS[kind].type: shelf for kind, shelf in self._shelves.items() if KINDS[kind].type is not Unstructured
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """In the order in which they were given."""
        return tuple(self._shelves)

    def objects(self, kind: str) -> Mapping[str, ApiObject]:
        return self._shelves[kind].held

    def get(self, kind: str, key: str) -> Any:
        """None when there is none."""
        return self._shelves[kind].held.get(key)

    def index(self, kind: str, values_of: Callable[[ApiObject], Iterable[Hashable]], part: str = "") -> Index:
        """An index of `kind`, of all values in the tuple that `values_of` gives. `part`: the one attribute of an object
        that the values come from, if there is one; while that is the same, so are they."""
        shelf = self._shelves[kind]
        index = Index(shelf.held, values_of, part)
        shelf.indexes.append(index)
        return index

    def listen(self, kind: str, handler: Handler | None) -> None:
        """From now on `handler` is told of changes of `kind`; None: nobody."""
        self._shelves[kind].handler = handler

    def take(self, event: Watch | Relist) -> None:
        """See what happened, and tell the handler."""
        if isinstance(event, Relist):
            self._relist(event)
        else:
            self.take_run((event,), 0)

    def take_run(self, events: Sequence[Any], begin: int) -> int:
        """The same for all Watches from `begin` on, up to the first event that is none; its index."""
        by_type = self._by_type
        index = begin
        last: type | None = None
        shelf: Any = None
        for index in range(begin, len(events)):
            event = events[index]
            if type(event) is not Watch:
                return index
            obj = event.obj
            kind = type(obj)
            if kind is not last:
                shelf, last = by_type.get(kind) or self._shelves[kind_of(obj)], kind
            if kind is Unstructured:
                shelf = self._shelves[kind_of(obj)]
            held = shelf.held
            gone = event.type == DELETED or (shelf.keeps is not None and not shelf.keeps(obj))
            if gone and not held:
                continue  # most of what many controllers hear of
            key = event.key or obj.metadata.key
            old = held.get(key)
            if old is None:
                if gone:
                    continue
            elif gone:
                if old.metadata.uid == obj.metadata.uid:  # else: news of one that another has replaced
                    self._remove(shelf, key)
                continue
            elif event.old is not old or shelf.ahead:  # not simply the next version
                if not self._is_newer(shelf, key, old, obj):
                    continue
                if old.metadata.uid != obj.metadata.uid:
                    self._remove(shelf, key)
                    old = None
            held[key] = obj
            for each in shelf.indexes:
                if each.made:
                    each.changed(key, old, obj)
            if shelf.handler is not None:
                shelf.handler(old, obj)
        return len(events)

    def written(self, obj: ApiObject) -> None:
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
            self.answering = True
            try:
                self._put(shelf, key, held, obj)
            finally:
                self.answering = False
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
            old = shelf.held.get(key)
            if old is None or self._is_newer(shelf, key, old, obj):
                self._put(shelf, key, old, obj)

    @staticmethod
    def _is_newer(shelf: _Shelf, key: str, old: ApiObject, obj: ApiObject) -> bool:
        if old is obj:
            return False
        version, known = obj.metadata.resource_version, old.metadata.resource_version
        if len(version) < len(known) or (len(version) == len(known) and version < known):
            return False  # both are decimal numbers
        if shelf.ahead.pop(key, None) is not None:
            return bool(version != known)  # the same was taken from the Outcome
        return True

    @staticmethod
    def _put(shelf: _Shelf, key: str, old: ApiObject | None, obj: ApiObject) -> None:
        shelf.held[key] = obj
        for index in shelf.indexes:
            if index.made:
                index.changed(key, old, obj)
        if shelf.handler is not None:
            shelf.handler(old, obj)

    @staticmethod
    def _remove(shelf: _Shelf, key: str) -> None:
        old = shelf.held.pop(key, None)
        if old is None:
            return
        shelf.ahead.pop(key, None)
        for index in shelf.indexes:
            if index.made:
                index.changed(key, old, None)
        if shelf.handler is not None:
            shelf.handler(old, None)
