"""A study that a site's budget can never fit is refused at the greeting: by the real messages."""

import pytest

from fedcausal.model.noisy_families import noisy_families_request
from fedcausal.statistics.noisy_gram_kind import noisy_gram_request
from fedcausal.statistics.scale_kind import scale_release, scale_request
from fedcausal_clients import site_node
from fedcausal_clients.policy.planned_releases import cost_with, planned_releases

BOUNDED = {
    "age": {"kind": "continuous", "bounds": [0, 120]},
    "dose": {"kind": "continuous", "bounds": [-16, 16]},
    "sex": {"kind": "binary", "categories": ["f", "m"]},
    "pain": {"kind": "categorical", "categories": ["no", "some", "KANARIENVOGEL"]},
}
PARTS = {"graph": {"epsilon": 1.0}, "model": {"epsilon": 1.0}}


@pytest.fixture
def study(tools):
    """Graph and model at epsilon 1 each: 1.5 together."""
    return tools.make_study(variables=BOUNDED, privacy=PARTS, model={"family": "gram"})


def test_nothing_is_charged_for_a_study_that_cannot_be_finished(new_coordinator, study, tools):
    coordinator = new_coordinator(study, max_epsilon=1.2)
    for site, reply in coordinator.greet().items():
        if site in coordinator.sites:
            assert tools.code(reply) == "budget-exceeded"
            assert coordinator.ledger(site) == ()
            assert "all releases of the study would bring" in coordinator.reason(site)


def test_without_the_check_the_graph_is_paid_for_first(new_coordinator, study, tools, monkeypatch):
    """Off: each site has paid for the whole graph before anybody knows that the run cannot end."""
    monkeypatch.setattr(site_node, "check_budget", lambda *_: None)
    coordinator = new_coordinator(study, max_epsilon=1.2).open()
    first = scale_request()
    scales = scale_release(study, first, coordinator.total(first), 3)
    coordinator.total(noisy_gram_request(study, scales, 3))
    degrees = dict.fromkeys(BOUNDED, 1)
    families = noisy_families_request(
        [("age", "dose")], tuple(BOUNDED), degrees, scales=scales.scales, missing=frozenset()
    )
    assert tools.codes(coordinator.upload(families)) == {"budget-exceeded"}
    for site in coordinator.sites:
        assert [entry.part for entry in coordinator.ledger(site)] == ["graph", "graph"]


def test_a_study_that_just_fits_begins_and_another_run_of_it_does_not(
    new_coordinator, study, tools
):
    whole = cost_with((), planned_releases(study), study.privacy.delta)
    coordinator = new_coordinator(study, max_epsilon=whole + 1e-3).open()
    coordinator.total(scale_request())
    # The same run greets again: what it was charged is in its plan already.
    replies = coordinator.greet()
    assert all(tools.code(replies[site]) != "budget-exceeded" for site in coordinator.sites)
    coordinator.begin("another")
    replies = coordinator.greet()
    assert {tools.code(replies[site]) for site in coordinator.sites} == {"budget-exceeded"}
    assert all(len(coordinator.ledger(site)) == 1 for site in coordinator.sites)
