"""What can leave a site: the complete list.

Every statistic is one vector of integers that is summed under masks and encryption; nothing of a
site's rows leaves in any other way. To review what a study takes from a site, read the modules of
these kinds, and `fedcausal_clients.egress` for what a site may refuse.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fedcausal.discovery.local import LocalVotes
from fedcausal.model.calibration import CalibrationKind
from fedcausal.model.families import Families
from fedcausal.model.flow_likelihoods import FlowLikelihoods
from fedcausal.model.likelihoods import Likelihoods
from fedcausal.model.margins import Margins
from fedcausal.model.noisy_families import NoisyFamilies
from fedcausal.model.own_sums import OwnSums
from fedcausal.model.residuals import Residuals
from fedcausal.model.spreads import Spreads
from fedcausal.model.update import NodeFlowUpdate
from fedcausal.model.validation import LossKind
from fedcausal.statistics.aipw_kind import AipwKind
from fedcausal.statistics.aipw_sites_kind import AipwSitesKind
from fedcausal.statistics.effect_families_kind import EffectFamilies, EffectScale
from fedcausal.statistics.gram_kind import GramKind
from fedcausal.statistics.heterogeneity_kind import HeterogeneityKind
from fedcausal.statistics.kind import PublicKind
from fedcausal.statistics.noisy_aipw_kind import NoisyAipwKind
from fedcausal.statistics.noisy_gram_kind import NoisyGramKind
from fedcausal.statistics.noisy_residuals_kind import NoisyResidualsKind
from fedcausal.statistics.noisy_tables_kind import NoisyTablesKind
from fedcausal.statistics.patterns_kind import EffectPatternsKind, PatternsKind
from fedcausal.statistics.range_kind import RangeKind
from fedcausal.statistics.replicates_kind import ReplicatesKind
from fedcausal.statistics.scale_kind import ModelScaleKind, ScaleKind
from fedcausal.statistics.tables_kind import TablesKind

__all__ = ["KINDS"]

_ALL: tuple[PublicKind, ...] = (
    PatternsKind(),  # counts of records by what they lack: rare patterns stay out of all sums
    EffectPatternsKind(),  # the same, where no exact graph has asked for them
    RangeKind(),  # histograms of magnitudes, where a study declares no bounds
    TablesKind(),  # counts of records per combination of levels, for constraint-based discovery
    GramKind(),  # sums of products of features: everything that discovery reads
    ScaleKind(),  # noisy histograms of each variable: what scales a noisy Gram
    NoisyGramKind(),  # noisy sums of products of clipped features: a graph under an epsilon
    NoisyTablesKind(),  # noisy counts per combination of levels: the same for discrete data
    HeterogeneityKind(),  # sums of the sites' own slopes along the learnt graph, when asked for
    ReplicatesKind(),  # the same sums over bootstraps of the rows, with secret weights
    LocalVotes(),  # counts of what the site's own graphs say about each pair
    ModelScaleKind(),  # the same histograms for a closed form under an epsilon
    EffectScale(),  # the same, where the effects have the epsilon and the model has none
    Margins(),  # histograms of the parents, which place the knots of splines
    Families(),  # sums of products within each family of the learnt graph
    Spreads(),  # the same of the sizes of residuals: how noise depends on the parents
    NoisyFamilies(),  # the same with noise: the closed-form model under an epsilon
    EffectFamilies(),  # the same, where the effects have the epsilon and the model has none
    OwnSums(),  # sums of products of features that users' own mechanisms read
    CalibrationKind(),  # histograms of how far held-out records lie from their fitted means
    Likelihoods(),  # log densities of candidate mechanisms over held-out records
    Residuals(),  # histograms of residuals of the closed-form model
    NoisyResidualsKind(),  # the same with noise
    AipwKind(),  # sums of influence values: a second, doubly robust estimate of every effect
    NoisyAipwKind(),  # the same with noise: effects under an epsilon
    AipwSitesKind(),  # sums of the sites' own such estimates, when they are to be compared
    NodeFlowUpdate(),  # a clipped change of the neural model's weights
    LossKind(),  # its loss on held-out rows, which stops training early
    FlowLikelihoods(),  # its log densities over held-out records, number by number
)

KINDS: Mapping[str, PublicKind] = MappingProxyType({kind.name: kind for kind in _ALL})
