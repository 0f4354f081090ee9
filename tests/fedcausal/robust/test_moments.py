"""The matrices in a vector are those of the site's rows."""

import numpy as np

from fedcausal.robust.moments import moments_of
from fedcausal.statistics.gram_kind import gram_request
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from tests.fedcausal.robust.conftest import REQUESTS


def test_a_gram_and_its_families_hold_the_same_covariances(study, sent):
    own = sent()["s0"]
    (gram,) = moments_of(study, REQUESTS[0], own[REQUESTS[0].id()])
    families = list(moments_of(study, REQUESTS[1], own[REQUESTS[1].id()]))
    assert [one.name for one in families] == [f"the family of {n}" for n in "xyz"]
    assert {one.num_records for one in families} == {gram.num_records}
    assert gram.products.shape == (3, 3)
    # Columns of families are scaled to [-1, 1], features of a Gram to [-1/2, 1/2].
    np.testing.assert_allclose(families[1].products / 4, gram.products[:2, :2], rtol=1e-4)
    for one in (gram, *families):
        assert one.is_complete
        assert np.all(np.abs(one.products) <= one.norms * (1 + 1e-9))
        assert np.all(np.abs(one.sums) <= one.sum_limits)
        assert np.all(np.diag(one.products) <= one.square_limits)


def test_other_kinds_and_raw_sums_have_none(study, sent):
    pooled = Study.model_validate(
        {"variables": {n: {"kind": "binary"} for n in "ab"}, "discovery": {"site_effects": "pool"}}
    )
    assert list(moments_of(pooled, gram_request(), np.zeros(9, dtype=np.int64))) == []
    assert list(moments_of(study, Request(kind="votes"), np.zeros(9, dtype=np.int64))) == []
