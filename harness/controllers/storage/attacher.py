"""The external attacher of every CSI driver, as one component: it does what VolumeAttachments ask for.

Source: kubernetes-csi/external-attacher pkg/controller csi_handler.go. A finalizer keeps a VolumeAttachment until its
volume is detached. Not modelled: its finalizer on volumes (the provisioner waits by itself), and drivers that fail.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Instant, Update
from harness.engine.latency import Constant, Latency
from harness.model.attachments import is_attached, place_of
from harness.model.objects import Unstructured


class AttacherController(Reconciler):
    """Keys are names of VolumeAttachments."""

    def __init__(self, name: str = "external-attacher") -> None:
        super().__init__(name, {"VolumeAttachment": self._changed})
        self._attach: Latency = Constant(0)
        self._detach: Latency = Constant(0)
        self._rng = Random(0)
        self._due: dict[str, tuple[bool, Instant]] = {}  # by uid: whether it is being detached, and until when

    def take_time(self, attach: Latency, detach: Latency, rng: Random) -> None:
        """How long drivers take from now on; drawn from `rng`."""
        self._attach, self._detach, self._rng = attach, detach, rng

    def forget_all(self) -> None:
        super().forget_all()
        self._due.clear()

    def _changed(self, old: Unstructured | None, new: Unstructured | None) -> None:
        if new is not None:
            self.queue.add(new.metadata.name)
        elif old is not None:
            self._due.pop(old.metadata.uid, None)

    def reconcile(self, now: Instant, key: str) -> None:
        attachment: Unstructured | None = self.informer.get("VolumeAttachment", key)
        if attachment is None:
            return
        meta, ours = attachment.metadata, _finalizer(place_of(attachment)[2])
        if meta.deletion_timestamp is not None:
            if ours in meta.finalizers and self._is_done(now, key, attachment, self._detach, going=True):
                kept = tuple(name for name in meta.finalizers if name != ours)
                self.write(key, Update(replace(attachment, metadata=replace(meta, finalizers=kept)), "", key))
        elif not is_attached(attachment):
            if ours not in meta.finalizers:
                kept = (*meta.finalizers, ours)
                self.write(key, Update(replace(attachment, metadata=replace(meta, finalizers=kept)), "", key))
            elif self._is_done(now, key, attachment, self._attach, going=False):
                extra: dict[str, Any] = {**(attachment.extra or {}), "status": {"attached": True}}
                self.write(key, Update(replace(attachment, extra=extra), "status", key))

    def _is_done(self, now: Instant, key: str, attachment: Unstructured, latency: Latency, *, going: bool) -> bool:
        """Whether the driver has answered; if not, it is looked at again when it has."""
        uid = attachment.metadata.uid
        was, due = self._due.get(uid, (not going, 0))
        if was is not going:
            due = now + latency.draw(self._rng)
            self._due[uid] = (going, due)
        if now < due:
            self.queue.add_at(key, due)
        return now >= due


def _finalizer(driver: str) -> str:
    """Source: pkg/controller/util.go GetFinalizerName, SanitizeDriverName."""
    name = re.sub("[^-a-zA-Z0-9]", "-", driver)
    return f"external-attacher/{name}{'X' if name.endswith('-') else ''}"
