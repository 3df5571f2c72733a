"""kube-scheduler's Score plugins, one file each, and the framework that puts plugins together: open to every strategy.

A strategy may take `ScoreFramework` with plugins and weights of its own; `kube` takes those of a configuration file.
"""

from harness.scheduling.matching.label_rules import qualified
from harness.scheduling.scores.framework import ScoreFramework, WeightedPlugin
from harness.scheduling.scores.image_locality import ImageLocality
from harness.scheduling.scores.inter_pod_affinity import InterPodAffinity
from harness.scheduling.scores.node_affinity import NodeAffinity, WeightedTerms
from harness.scheduling.scores.node_groups import Grouping
from harness.scheduling.scores.node_resources_balanced_allocation import NodeResourcesBalancedAllocation
from harness.scheduling.scores.node_resources_fit import FitStrategy, NodeResourcesFit
from harness.scheduling.scores.outside import check_plugin
from harness.scheduling.scores.plugin import NodePlugin, RowsPlugin
from harness.scheduling.scores.pod_topology_spread import SYSTEM_SPREAD, DefaultSpread, PodTopologySpread
from harness.scheduling.scores.search_order import NodeSearch, nodes_to_find
from harness.scheduling.scores.selection import Extenders, NodeSelection, scheduler_name
from harness.scheduling.scores.taint_toleration import TaintToleration
from harness.scheduling.state.node_selectors import preferred_terms

__all__ = [
    "SYSTEM_SPREAD",
    "DefaultSpread",
    "Extenders",
    "FitStrategy",
    "Grouping",
    "ImageLocality",
    "InterPodAffinity",
    "NodeAffinity",
    "NodePlugin",
    "NodeResourcesBalancedAllocation",
    "NodeResourcesFit",
    "NodeSearch",
    "NodeSelection",
    "PodTopologySpread",
    "RowsPlugin",
    "ScoreFramework",
    "TaintToleration",
    "WeightedPlugin",
    "WeightedTerms",
    "check_plugin",
    "nodes_to_find",
    "preferred_terms",
    "qualified",
    "scheduler_name",
]
