"""A placement policy trained by masked PPO, and the same policy as a strategy of `podyard compare`.

pip install 'podyard[rl]' sb3-contrib
python docs/examples/masked_ppo.py            # trains on seeds 1 to 1000, writes masked_ppo.zip
podyard compare batch -s random,docs/examples/masked_ppo.py:scheduler --seeds 2001-2010 --metric placement.nodesUsed
"""

import sys
from pathlib import Path

import gymnasium
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

import harness.gym

MODEL = Path(__file__).with_suffix(".zip")
TRAINING_SEEDS = (1, 1000)


class NodeScores(BaseFeaturesExtractor):
    """One small network scores each node beside the pod: what is learned of one node holds for all of them."""

    def __init__(self, space: gymnasium.spaces.Dict, width: int = 32) -> None:
        (nodes, columns), (window, asked) = space["nodes"].shape, space["pods"].shape
        super().__init__(space, features_dim=nodes + 1)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(columns + window * asked, width), torch.nn.Tanh(), torch.nn.Linear(width, 1)
        )

    def forward(self, seen: dict[str, torch.Tensor]) -> torch.Tensor:
        nodes, pods = seen["nodes"], seen["pods"].flatten(1)
        beside = pods[:, None, :].expand(-1, nodes.shape[1], -1)
        scores = self.net(torch.cat([nodes, beside], dim=2)).squeeze(2)
        return torch.cat([scores, torch.zeros_like(scores[:, :1])], dim=1)  # the last action: wait


def train(steps: int) -> None:
    env = make_vec_env(
        "podyard/Placement-v1",
        n_envs=4,
        env_kwargs={
            "scenario": "batch",
            "reward": "-placement.nodesUsed",
            "seeds": TRAINING_SEEDS,
            "render_mode": None,  # else make_vec_env asks for pictures, which a placement has none of
        },
        seed=1,
    )
    network = {"features_extractor_class": NodeScores, "net_arch": {"pi": [], "vf": [64]}}
    sizes = {"n_steps": 800, "batch_size": 400}
    model = MaskablePPO("MultiInputPolicy", env, policy_kwargs=network, gamma=1.0, **sizes, seed=1, verbose=1)
    with torch.no_grad():  # the head passes the scores on
        model.policy.action_net.weight.copy_(torch.eye(model.policy.action_net.in_features))
    model.learn(steps)
    model.save(MODEL)


def act(seen: harness.gym.Observation, mask: harness.gym.Mask) -> int:
    action, _ = _model().predict(seen, action_masks=mask.astype(bool), deterministic=True)
    return int(action)


def _model() -> MaskablePPO:
    if not hasattr(_model, "loaded"):
        _model.loaded = MaskablePPO.load(MODEL)
    return _model.loaded


def scheduler() -> harness.gym.PolicyStrategy:
    return harness.gym.PolicyStrategy(act)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
