"""A robust study says what it must leave out, key by key."""

import pytest

from fedcausal.errors import StudyError
from fedcausal.study import Study

GOOD = {
    "variables": {n: {"kind": "continuous", "bounds": [-9, 9]} for n in "xyz"},
    "discovery": {"votes": False},
    "privacy": {"incomplete": "drop"},
    "model": {"knots": 0},
    "federation": {"robust": 2},
}


def changed(section, **keys):
    return {**GOOD, section: {**GOOD.get(section, {}), **keys}}


@pytest.mark.parametrize(
    ("section", "keys", "named"),
    [
        ("discovery", {"votes": True}, "discovery.votes: .*write votes = false"),
        ("discovery", {"votes": False, "heterogeneity": True}, "discovery.heterogeneity"),
        ("discovery", {"votes": False, "site_effects": "pool"}, "discovery.site_effects"),
        ("discovery", {"votes": False, "resampling": "poisson"}, "discovery.resampling"),
        ("model", {"knots": 5}, "model.knots: .*write knots = 0"),
        ("model", {"knots": 0, "calibration": 0.1}, "model.calibration"),
        ("model", {"knots": 0, "family": "nodeflow"}, "model.family"),
        ("model", {"knots": 0, "variance": "by-parents"}, "model.variance"),
        ("model", {"knots": 0, "mechanism": "auto"}, "model.mechanism"),
        ("privacy", {"incomplete": "common"}, "privacy.incomplete"),
        ("privacy", {"incomplete": "drop", "graph": {"epsilon": 1.0}}, "privacy.graph"),
        ("variables", {"x": {"kind": "continuous"}}, "variables.x.bounds"),
    ],
)
def test_what_has_no_robust_form_is_refused_with_the_remedy(section, keys, named):
    Study.model_validate(GOOD)
    with pytest.raises(StudyError, match=named):
        Study.model_validate(changed(section, **keys))
    Study.model_validate({**changed(section, **keys), "federation": {"robust": 0}})


def test_fewer_than_a_third_of_the_sites_may_lie():
    study = Study.model_validate(GOOD)
    study.check_num_sites(7)
    study.check_present(5)
    with pytest.raises(StudyError, match=r"robust: expected fewer than a third of 6"):
        study.check_num_sites(6)
