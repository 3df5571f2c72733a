"""The components of the control plane: the process that each lives in, its address, outages of it and of its watches.

A process that is started again has connections of its own: it gets new addresses, and what was on its way to its
predecessor (watch events, answers, timers) reaches nobody. What its predecessor sent arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.apiserver.dispatcher import Dispatcher
from harness.engine.component import (
    Component,
    DisturbProvider,
    DisturbRegistry,
    DisturbWatches,
    Effect,
    InjectFault,
    Instant,
    KeepPlace,
    Observe,
    ReclaimMachine,
    RestartApiServer,
    RestartProcess,
    RestoreSnapshot,
    ResumeProcess,
    Start,
    StartMachine,
    StopMachine,
    TakeSnapshot,
    Timer,
    WakeAt,
)
from harness.engine.guard import Guard
from harness.engine.loop import ADDRESS_BITS, Handler, Loop
from harness.engine.messages import API_ADDRESS, BeginWatches, Delay, Observed, Post
from harness.node.backend import FIRST_NODE_ADDRESS

FIRST_NEW_ADDRESS = 1 << (ADDRESS_BITS - 1)
"""Of processes that were started again; machines have those between, eight million."""


def is_machine(address: int) -> bool:
    return FIRST_NODE_ADDRESS <= address < FIRST_NEW_ADDRESS


class ControlPlane:
    """`machines`: takes what is done to machines and to the control plane itself, and not asked of the API server."""

    def __init__(
        self, loop: Loop, post: Post, api: Dispatcher, call_delay: Delay, machines: Callable[[int, Effect], None]
    ) -> None:
        self.components: dict[str, Component] = {}
        self._loop = loop
        self._post = post
        self._api = api
        self._call_delay = call_delay
        self._machines = machines
        self._address_of: dict[str, int] = {}
        self._name_at: dict[int, str] = {}
        self._processes: dict[str, list[str]] = {}  # the names of their components
        self._down_until: dict[str, Instant] = {}  # by component
        self._new_addresses = 0

    def add(self, component: Component, process: str = "") -> None:
        """Started at once. `process`: the one it lives in, and stops with; '': one of its own."""
        name = component.name
        address = len(self.components) + 1
        assert address < FIRST_NODE_ADDRESS
        assert name not in self.components, f"two components are called {name}"
        self.components[name] = component
        self._processes.setdefault(process or name, []).append(name)
        self._connect(name, address)
        self._loop.handlers[address] = self._runner(address, Guard(component))
        self._post(self._loop.now + 1, address, Start())
        self._api.subscribe(address, component.watches, getattr(component, "lazy_watches", ()))

    def name_at(self, address: int) -> str | None:
        """Of the component that has, or had, this address."""
        return self._name_at.get(address)

    def restart(self, now: Instant, of: str, down_ns: int) -> bool:
        """Stop a process, or one component, and start it `down_ns` later with nothing in memory; what it has sent is
        sent. Whether there is any."""
        found = self._named(of)
        for name in found:
            until = self._down_until[name] = max(self._down_until.get(name, 0), now + down_ns)
            self._loop.drop(self._address_of[name])
            self._api.end_watches(now, self._address_of[name])
            self._start_at(name, until)
        return bool(found)

    def _start_at(self, name: str, at: Instant) -> None:
        self._new_addresses += 1
        address = FIRST_NEW_ADDRESS + self._new_addresses
        self._connect(name, address)
        self._loop.handlers[address] = self._starting(name, address)
        self._post(at, address, Start())

    def resume(self, now: Instant, of: str) -> None:
        """Start now what was stopped."""
        for name in self._named(of):
            if self._down_until.get(name, 0) > now:
                self._loop.drop(self._address_of[name])  # the start that was to come
                self._down_until[name] = now
                self._start_at(name, now + 1)

    def tell(self, name: str, token: Any) -> None:
        """A component hears a timer with `token`."""
        self._post(self._loop.now + 1, self._address_of[name], Timer(token))

    def disturb_watches(self, now: Instant, what: DisturbWatches) -> bool:
        """Whether there is such a process or component."""
        found = self._named(what.of)
        for name in found:
            self._api.disturb_watches(now, self._address_of[name], what)
        return bool(found)

    def _named(self, of: str) -> list[str]:
        return self._processes.get(of) or [name for name in self.components if name == of]

    def _connect(self, name: str, address: int) -> None:
        self._address_of[name] = address
        self._name_at[address] = name

    def _starting(self, name: str, address: int) -> Handler:
        component = self.components[name]

        def handle(now: int, events: list[Any]) -> None:
            running = self._loop.handlers[address] = self._runner(address, Guard(component))
            running(now, [Start()])
            lazy = tuple(getattr(component, "lazy_watches", ()))
            self._post(now + 1, API_ADDRESS, (address, BeginWatches(address, component.watches, lazy)))

        return handle

    def _runner(self, address: int, component: Component) -> Handler:
        loop, delay, name = self._loop, self._call_delay, component.name

        def handle(now: int, events: list[Any]) -> None:
            for effect in component.step(now, events):
                kind = type(effect)
                if kind is WakeAt:
                    loop.post(effect.at, address, Timer(effect.token))  # type: ignore[union-attr]
                elif kind is Observe:
                    loop.post(now + 1, API_ADDRESS, (address, Observed(now, name, effect)))  # type: ignore[arg-type]
                elif kind in _TO_THE_MACHINES:
                    self._machines(now, effect)
                else:
                    loop.post(delay(now, address), API_ADDRESS, (address, effect))

        return handle


_TO_THE_MACHINES = (
    StartMachine,
    StopMachine,
    InjectFault,
    RestartApiServer,
    RestoreSnapshot,
    TakeSnapshot,
    RestartProcess,
    ResumeProcess,
    DisturbProvider,
    DisturbRegistry,
    DisturbWatches,
    KeepPlace,
    ReclaimMachine,
)
