"""kube-scheduler's default scheduling, as a strategy: the default profile, or what a configuration file says.

The semantics are kube-scheduler 1.32's: plugins, weights, integer arithmetic, normalisation, share of nodes scored.
"""

from __future__ import annotations

from dataclasses import replace

from harness.model.errors import UserError
from harness.scheduling.scores import nodes_to_find
from schedulers.kube.config import parse, read, read_extenders
from schedulers.kube.profile import Profile
from schedulers.kube.strategy import Kube

__all__ = ["Kube", "Profile", "kube", "nodes_to_find", "parse", "read"]


def kube(config: str = "", percentage: int = -1) -> Kube:
    """kube-scheduler as it is. `config`: a KubeSchedulerConfiguration file; `percentage`: of nodes to score.

    `percentage` overrides the file's percentageOfNodesToScore: 100 scores every node, 0 the adaptive share.
    """
    profiles = read(config) if config else (Profile(),)
    if percentage != -1:
        if not isinstance(percentage, int) or not 0 <= percentage <= 100:
            raise UserError("kube scores no such share of nodes", found=percentage, expected="a number of 0..100")
        profiles = tuple(replace(profile, percentage=percentage) for profile in profiles)
    return Kube(profiles, read_extenders(config) if config else ())
