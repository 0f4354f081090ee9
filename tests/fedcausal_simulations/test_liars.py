"""Lies are of the form they claim: some that no rows give, some that rows could give."""

import numpy as np
import pytest

from fedcausal.robust.bounds import broken_bound
from fedcausal.robust.moments import moments_of
from fedcausal.statistics.kind import Request
from fedcausal_clients import site_node
from fedcausal_simulations.liars import lying, told
from tests.fedcausal.robust.conftest import REQUESTS, sent, specs, study

__all__ = ["sent", "specs", "study"]


@pytest.mark.parametrize("number", [0, 1])
def test_bounds_see_what_no_rows_give_and_nothing_else(study, specs, sent, number):
    request, spec = REQUESTS[number], specs[number]
    true = sent()["s0"][spec.name]
    seen = {
        lie: broken_bound(study, request, spec, told(lie, study, request, true)) != ""
        for lie in ("scaled", "swollen", "flipped", "negated", "fewer")
    }
    assert seen == {
        "scaled": True,
        "swollen": False,
        "flipped": False,
        "negated": True,
        "fewer": seen["fewer"],
    }


def test_a_flip_keeps_every_variance_and_negates_every_other_covariance(study, sent):
    request = REQUESTS[0]
    true = sent()["s0"][request.id()]
    (honest,) = moments_of(study, request, true)
    (flipped,) = moments_of(study, request, told("flipped", study, request, true))
    np.testing.assert_array_equal(np.diag(flipped.products), np.diag(honest.products))
    assert flipped.products[0, 1] == -honest.products[0, 1]
    assert flipped.products[0, 2] == honest.products[0, 2]


def test_other_statistics_are_told_as_they_are_and_the_truth_comes_back(study):
    vector = np.arange(3)
    assert told("negated", study, Request(kind="votes"), vector) is vector
    honest = site_node._vector
    with lying({"a": "flipped"}):
        assert site_node._vector is not honest
    assert site_node._vector is honest
