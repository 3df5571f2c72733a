"""Environments for Gymnasium: a fast one with placement alone, and one with the whole control plane. `pip install
'podyard[rl]'`.

    import gymnasium, harness.gym
    env = gymnasium.make("podyard/Placement-v1", scenario="batch", reward="placement.pendingSeconds.mean")

Importing this package registers both. Without Gymnasium it still has what a trained policy needs to run as a strategy.
"""

from harness.gym.observation import Encoder, Mask, Observation
from harness.gym.policy import PolicyStrategy

__all__ = ["Encoder", "Mask", "Observation", "PolicyStrategy"]

try:
    import gymnasium
except ImportError:
    pass
else:
    for _id, _where in (("Placement", "placement:PlacementEnv"), ("Cluster", "cluster:ClusterEnv")):
        if f"podyard/{_id}-v1" not in gymnasium.registry:
            gymnasium.register(f"podyard/{_id}-v1", entry_point=f"harness.gym.{_where}")
