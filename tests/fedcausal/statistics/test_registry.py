"""The complete list of what can leave a site."""

import pytest

from fedcausal.statistics.kind import PrivateKind, StatisticKind
from fedcausal.statistics.registry import KINDS


def test_the_list_is_fixed():
    assert set(KINDS) >= {
        "range",
        "gram",
        "votes",
        "families",
        "residuals",
        "update",
        "aipw",
        "aipw_sites",
        "noisy_aipw",
        "noisy_residuals",
        "effect_families",
        "tables",
        "replicates",
    }
    with pytest.raises(TypeError):
        KINDS["rows"] = None


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_charged_to_a_part_and_documented(name):
    kind = KINDS[name]
    assert kind.name == name
    assert kind.part in ("graph", "model", "effects")
    assert "Privacy:" in type(kind).__doc__
    reads_weights = name in ("update", "validation", "flow_likelihoods")
    assert isinstance(kind, StatisticKind | PrivateKind) == (not reads_weights)
    assert not (isinstance(kind, StatisticKind) and isinstance(kind, PrivateKind))
