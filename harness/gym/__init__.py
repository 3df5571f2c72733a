"""Environments for Gymnasium: placement alone, fast, and the whole control plane. `pip install 'podyard[rl]'`.

    import gymnasium, harness.gym
    env = gymnasium.make("podyard/Placement-v1", scenario="batch", reward="placement.pendingSeconds.mean")

Importing this registers both. Without Gymnasium, what a trained policy needs as a strategy is still here.
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
