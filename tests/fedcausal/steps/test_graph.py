"""From released totals to a graph: the algorithm that was asked for, with or without votes."""

import pytest

from fedcausal.discovery.algorithms import discover
from fedcausal.errors import StudyError
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import block_covariance
from fedcausal.steps.graph import discover_graph, given_graph, options_of, votes_weigh
from fedcausal.study import Study


def changed(study, **sections):
    content = study.to_json()
    for name, keys in sections.items():
        content[name] = {**content[name], **keys}
    return Study.model_validate(content)


@pytest.fixture
def statistics(asked_states):
    found = block_covariance(asked_states[-1].gram)
    assert isinstance(found, BlockCovariance)
    return found


@pytest.fixture
def ballots(asked_states, release, mixed_sites):
    _, votes, *_ = asked_states[1].requests
    return [(votes, release(asked_states[1], votes, mixed_sites))]


@pytest.mark.parametrize("with_votes", [False, True])
@pytest.mark.parametrize("algorithm", ["order-search", "pc"])
@pytest.mark.parametrize("effects", ["center", "pool"])
def test_the_graph_is_that_of_the_algorithm(
    asked_study, statistics, ballots, with_votes, algorithm, effects
):
    study = changed(asked_study, discovery={"algorithm": algorithm, "site_effects": effects})
    found = discover_graph(
        study, statistics, ballots=ballots if with_votes else [], num_sites=3, seed=0
    )
    alone = discover(statistics, study.knowledge_base(), options_of(study, 0))
    assert (found.votes is not None) == with_votes
    weighs = with_votes and votes_weigh(study)
    assert ("votes" in found.objective) == weighs
    assert found.objective.startswith("PC" if algorithm == "pc" else "block BIC")
    if not weighs:
        assert found.graph.with_probabilities(lambda _: None) == alone.graph
        assert found.dag == alone.dag
    assert all(0.0 <= edge.probability <= 1.0 for edge in found.graph.edges)
    assert study.knowledge_base().violations(found.dag) == []


def test_votes_weigh_in_a_score_and_where_sites_matter(asked_study):
    assert votes_weigh(asked_study)
    for changes in ({"algorithm": "pc"}, {"site_effects": "pool"}):
        other = changed(asked_study, discovery=changes)
        assert not votes_weigh(other)
        assert options_of(other, 0).vote_weight == 0.0


def test_a_study_limits_the_time_of_its_search(asked_study):
    assert options_of(asked_study, 0).time_limit_seconds is None
    limited = changed(asked_study, discovery={"time_limit_seconds": 90})
    assert options_of(limited, 0).time_limit_seconds == 90.0


def test_a_given_graph_is_taken_with_its_extension(asked_study):
    study = changed(
        asked_study,
        knowledge={"graph": "pdag { age -- drug  drug -> pressure }", "tiers": []},
    )
    found = given_graph(study)
    assert found.graph.kind == "cpdag"
    assert found.dag.kind == "dag"
    assert {e.source for e in found.dag.edges} <= {"age", "drug"}
    assert "given" in found.objective


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (None, "got nothing"),
        ("dag { age -> shoe }", "'shoe' is no variable"),
        ("dag { pressure -> age }", "contradicts the study's knowledge"),
        ("pag { age @-> drug }", "expected a dag or a cpdag"),
    ],
)
def test_a_graph_that_cannot_be_used_names_the_key(asked_study, graph, message):
    with pytest.raises(StudyError, match=r"knowledge.graph: .*" + message):
        given_graph(changed(asked_study, knowledge={"graph": graph}, effects={"queries": []}))
