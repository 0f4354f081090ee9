from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import GraphError, InputError
from fedcausal.graph import Graph
from fedcausal.model.policies import Draw, Shift

NAMES = ["age", "drug", "group", "pressure", "stage", "status"]


@pytest.fixture(scope="module")
def model(mixed_fit):
    return mixed_fit.model


@pytest.fixture(scope="module")
def frame(model):
    return model.sample(300, seed=5)


def test_samples_are_in_declared_units_and_words(model, frame):
    assert list(frame.columns) == NAMES
    assert set(frame["status"]) == {"alive", "dead"}
    assert set(frame["stage"]) <= {"low", "mid", "high"}
    assert frame["age"].between(-8, 8).all()


def test_one_seed_gives_one_sample(model, frame):
    pd.testing.assert_frame_equal(model.sample(300, seed=5), frame)
    assert not model.sample(300, seed=6).equals(frame)


@pytest.mark.parametrize("do", [{"drug": "1"}, {"pressure": 10.0, "group": "b"}, {"age": -6}])
def test_do_is_exact_and_leaves_non_descendants_alone(model, do):
    plain, acted = model.sample(200, seed=1), model.sample(200, do=do, seed=1)
    changed = set(do).union(*(model.graph.descendants(name) for name in do))
    for name, value in do.items():
        assert (acted[name] == value).all()
    for name in set(NAMES) - changed:
        pd.testing.assert_series_equal(plain[name], acted[name])


def test_counterfactuals_copy_non_descendants_bit_for_bit(model, frame):
    answer = model.counterfactual(frame, do={"pressure": 0.0})
    for name in ("age", "group", "drug"):
        pd.testing.assert_series_equal(answer[name], frame[name])
    assert (answer["pressure"] == 0.0).all()
    assert not answer["status"].equals(frame["status"])


def test_a_counterfactual_keeps_order_index_and_foreign_columns(model, frame):
    own = frame.set_index(np.arange(300) * 2)[[*reversed(NAMES)]]
    own.insert(3, "note", [f"row {k}" for k in range(300)])
    own.attrs["source"] = "ward.csv"
    answer = model.counterfactual(own, do={"pressure": 0.0}, probabilities=True)
    assert list(answer.columns[: len(own.columns)]) == list(own.columns)
    assert all("=" in name for name in answer.columns[len(own.columns) :])
    pd.testing.assert_series_equal(answer["note"], own["note"])
    assert answer.index.equals(own.index)
    assert answer.attrs["source"] == "ward.csv"


def test_composition_an_action_that_changes_nothing_changes_nothing(model, frame):
    treated = frame[frame["drug"] == "1"]
    pd.testing.assert_frame_equal(model.counterfactual(treated, do={"drug": 1}), treated)
    pd.testing.assert_frame_equal(model.counterfactual(frame, do={}), frame)


def test_additive_noise_makes_numeric_counterfactuals_reversible(model, frame):
    treated = frame[frame["drug"] == "1"]
    there = model.counterfactual(treated, do={"drug": "0"})
    back = model.counterfactual(there, do={"drug": "1"})
    np.testing.assert_allclose(back["pressure"], treated["pressure"], atol=1e-9)


def test_the_individual_effect_is_the_known_one(model, frame):
    treated = frame[frame["drug"] == "1"]
    answer = model.counterfactual(treated, do={"drug": "0"})
    np.testing.assert_allclose(treated["pressure"] - answer["pressure"], 3.0, atol=0.6)


def test_other_columns_and_the_index_are_kept(model, frame):
    marked = frame.assign(patient=range(300)).set_index(pd.Index(range(1000, 1300)))
    answer = model.counterfactual(marked, do={"drug": "1"})
    assert list(answer.index) == list(marked.index)
    assert (answer["patient"] == marked["patient"]).all()


def test_probabilities_and_assumptions_are_given_when_asked(model, frame):
    answer = model.counterfactual(frame, do={"drug": "1"}, probabilities=True)
    shares = answer[["status=alive", "status=dead"]]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert (answer["status"] == np.where(shares["status=dead"] > 0.5, "dead", "alive")).all()
    assert "gumbel-max" in answer.attrs["assumptions"]
    numeric = model.counterfactual(frame, do={"stage": "low"})
    assert "gumbel-max" not in numeric.attrs["assumptions"]


def test_missing_values_matter_only_where_they_are_needed(model, frame):
    holes = frame.copy()
    holes.loc[0, "age"] = np.nan
    with pytest.raises(InputError, match=r"frame:age: 1 missing values.*drop the rows"):
        model.counterfactual(holes, do={"drug": "1"})
    answer = model.counterfactual(holes, do={"pressure": 1.0})
    assert np.isnan(answer.loc[0, "age"])
    with pytest.raises(InputError, match="frame:group: the column is needed and absent"):
        model.counterfactual(frame.drop(columns="group"), do={"drug": "1"})
    assert "age" not in model.counterfactual(frame.drop(columns="age"), do={"pressure": 1.0})


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ({"nobody": 1}, "do nobody: no such variable in the model"),
        ({"age": 60.0}, "beyond it the model would extrapolate"),
        ({"group": "z"}, "expected one of a, b, c"),
    ],
)
def test_impossible_questions_are_refused(model, frame, do, message):
    with pytest.raises(InputError, match=message):
        model.sample(3, do=do)
    with pytest.raises(InputError, match=message):
        model.counterfactual(frame, do=do)


def test_no_rows_are_refused(model):
    with pytest.raises(InputError, match="expected 1 row or more"):
        model.sample(0)


def test_log_prob_has_a_column_per_node(model, frame):
    found = model.log_prob(frame)
    assert list(found.columns) == NAMES
    assert np.isfinite(found.to_numpy()).all()


def test_the_graph_must_be_the_models_dag(model):
    with pytest.raises(GraphError, match="needs a dag"):
        replace(model, graph=Graph.cpdag(NAMES, [], [("age", "drug")]))
    with pytest.raises(GraphError, match="nodes"):
        replace(model, graph=Graph.dag(["age"], []))


def test_a_few_records_are_written_as_many_are(mixed_fit):
    """The short way of few records gives the very frame of the long one."""
    model = mixed_fit.model
    many = model.sample(200, seed=3).assign(word="w", number=7)
    for more in ({}, {"word": many["word"].astype(object)}, {"late": 1.5}):
        frame = many.assign(**more)
        frame.attrs["source"] = "here"
        long = model.counterfactual(frame, do={"drug": "1"}, seed=0)
        short = model.counterfactual(frame.head(5), do={"drug": "1"}, seed=0)
        assert list(short.columns) == list(long.columns)
        assert short.columns.dtype == long.columns.dtype
        pd.testing.assert_series_equal(short.dtypes, long.dtypes)
        changed = ("drug", "pressure", "stage", "status")
        kept = [name for name in long.columns if name not in changed]
        pd.testing.assert_frame_equal(short[kept], long[kept].head(5))
        assert short.attrs.keys() == long.attrs.keys()
    few, frame = model.sample(5, seed=4), model.sample(200, seed=4)
    pd.testing.assert_series_equal(few.dtypes, frame.dtypes)


@pytest.fixture(scope="module")
def of_a_class(model):
    """The same model, where the data leave the direction of drug -- pressure open."""
    directed = [e for e in model.graph.directed_edges if e != ("drug", "pressure")]
    learnt = Graph.cpdag(NAMES, directed=directed, undirected=[("drug", "pressure")])
    return replace(model, learnt=learnt)


def test_answers_name_the_directions_that_the_data_leave_open(of_a_class, frame):
    chosen = "drug -> pressure: the data leave this direction open"
    assert of_a_class.sample(5).attrs["warnings"] == []
    assert of_a_class.sample(5, do={"age": 1.0}).attrs["warnings"] == []
    for do in ({"drug": "1"}, {"drug": Draw({"0": 0.5, "1": 0.5})}, {"pressure": Shift(1.0)}):
        (said,) = of_a_class.sample(5, do=do).attrs["warnings"]
        assert said.startswith(chosen)
    (said,) = of_a_class.counterfactual(frame, do={"age": 1.0}).attrs["warnings"]
    assert said.startswith(chosen)
    assert of_a_class.counterfactual(frame, do={"status": "dead"}).attrs["warnings"] == []


def test_a_model_that_knows_its_class_gives_the_set_of_effects(of_a_class, model):
    found = of_a_class.effect("drug", "pressure", ("0", "1"), draws=20)
    assert found.interval_kind == "class"
    assert len(found.possible_effects) > 1
    assert model.effect("drug", "pressure", ("0", "1"), draws=20).interval_kind == "sampling"
