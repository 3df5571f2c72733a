"""Fragmentation Gradient Descent and the baselines that it was published against.

Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC 2023, and its simulator (hkust-adsl/kubernetes-scheduler-simulator, commit 8f3d641). Scores are integers of
0..100, as there; ties go to the lowest rank.
"""

from __future__ import annotations

from schedulers.fgd.baselines import best_fit, dot_product, gpu_clustering, gpu_packing, random_fit
from schedulers.fgd.descent import FGD

__all__ = ["FGD", "best_fit", "dot_product", "gpu_clustering", "gpu_packing", "random_fit"]
