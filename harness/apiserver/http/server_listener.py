"""What a live cluster keeps beside its objects for clients: base of the listeners that write in answer to writes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from harness.apiserver.http.driver_queue import DriverQueue
from harness.model.meta import ApiObject
from harness.model.objects import Kind


class ServerListener(ABC):
    """Told of each write to the API server, on the driver's thread. It writes between events (`DriverQueue.submit`), as
    everybody does that is no component."""

    def __init__(self, driver: DriverQueue) -> None:
        self._driver = driver

    def listen(self) -> None:
        self._driver.server.listeners.append(self._written)

    def detach(self) -> None:
        """Listens no more; nothing where it does not listen."""
        if self._written in self._driver.server.listeners:
            self._driver.server.listeners.remove(self._written)

    @abstractmethod
    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject, revision: int) -> None:
        """`change`: ADDED, MODIFIED or DELETED; `old`: None before the first write."""
