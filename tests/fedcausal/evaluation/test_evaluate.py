"""A run against held-out records and a known graph."""

import pytest

from fedcausal.errors import InputError
from fedcausal.evaluation.evaluate import evaluate
from fedcausal.graph import Graph

TRUTH = Graph.dag(("age", "dose", "sick"), [("age", "dose"), ("dose", "sick")])


def test_a_good_model_scores_above_nine_tenths(run, records):
    found = evaluate(run, records(9, 1500), truth=TRUTH)
    assert found.graph.skeleton_f1 == 1.0
    assert found.graph.structural_hamming_distance == 0
    assert (found.graph.adjustment_mistakes, found.graph.num_pairs) == (0, 6)
    assert found.data.generation.score > 0.95
    assert found.data.floor.trend < found.data.generation.trend
    assert found.data.ceiling.score > 0.95
    assert found.data.detection_auc < 0.65
    assert found.data.falsification.num_tests == 1
    assert set(found.to_json()) == {"graph", "data"}


def test_a_wrong_truth_shows(run):
    wrong = Graph.dag(TRUTH.nodes, [("sick", "age")])
    found = evaluate(run, truth=wrong).graph
    assert found.skeleton_f1 == 0.0
    assert found.structural_hamming_distance == 3
    assert found.adjustment_mistakes > 0


def test_one_seed_gives_one_answer(run, records):
    frame = records(9, 200)
    assert evaluate(run, frame, seed=1) == evaluate(run, frame, seed=1)


def test_independences_within_sites(run, records):
    frame = records(9, 200).assign(site=["n", "s"] * 100)
    found = evaluate(run, frame, site_column="site").data
    assert found.falsification.num_tests == 1


def test_what_cannot_be_compared_is_refused(run, records):
    with pytest.raises(InputError, match=r"held-out records .--data., a known graph"):
        evaluate(run)
    with pytest.raises(InputError, match="at least 20 held-out records, got 5"):
        evaluate(run, records(9, 5))
    with pytest.raises(InputError, match="frame:dose: the column is needed and absent"):
        evaluate(run, records(9, 50).drop(columns="dose"))
    with pytest.raises(InputError, match="frame:site: --site-column names no column"):
        evaluate(run, records(9, 50), site_column="site")
    with pytest.raises(InputError, match=r"--truth: .* lacks bmi"):
        evaluate(run, truth=Graph.dag((*TRUTH.nodes, "bmi"), []))
