"""A study as pure steps: what is asked for, in which order, and that replaying is harmless."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import FedCausalError, StudyError
from fedcausal.protocol import start, step
from fedcausal.results.run_folder import result_of
from fedcausal.statistics.implied import fits_privately, trains_flow
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released


def changed(study, **sections):
    content = study.to_json()
    for name, keys in sections.items():
        content[name] = {**content[name], **keys}
    return Study.model_validate(content)


def kinds(states):
    return [sorted({r.kind for r in state.requests}) for state in states]


def test_a_study_asks_for_the_graph_then_for_the_model(asked_states):
    later = ["margins", "families", "residuals"]
    assert kinds(asked_states) == [
        ["patterns"],
        ["gram", "votes"],
        ["margins"],
        ["families"],
        ["aipw", "residuals"],
        [],
    ]
    assert [state.phase for state in asked_states] == ["patterns", "graph", *later, "done"]
    assert {name.partition("-")[0] for name in asked_states[-1].digests} == {
        "patterns",
        "gram",
        "votes",
        "aipw",
        *later,
    }


def test_the_same_totals_lead_to_the_same_result(asked_study, asked_states, mixed_sites, walk):
    again = walk(asked_study, mixed_sites)[-1]
    assert result_of(again) == result_of(asked_states[-1])


def test_neither_votes_nor_model_unless_wanted(asked_study, mixed_sites, walk):
    study = changed(asked_study, discovery={"votes": False})
    states = walk(study, mixed_sites, steps=("discovery",))
    assert kinds(states) == [["patterns"], ["gram"], []]
    assert states[-1].model is None
    assert states[-1].discovery.votes is None


def test_ranges_come_first_where_bounds_are_left_out(asked_study, mixed_sites, walk, as_table):
    content = asked_study.to_json()
    content["variables"]["age"]["bounds"] = None
    study = Study.model_validate(content)
    names = study.schema().names
    sites = [as_table(study, {n: site.column(n) for n in names}) for site in mixed_sites]
    states = walk(study, sites, steps=("model",))
    assert kinds(states)[:3] == [["patterns"], ["range"], ["gram", "votes"]]
    low, high = states[-1].ranges["age"]
    values = np.concatenate([site.column("age") for site in sites])
    assert low <= values.min() < values.max() <= high
    assert states[-1].ranges["pressure"] == (-40.0, 40.0)
    assert states[2].requests[0].parameters["ranges"] == {"age": [low, high]}


def test_polynomials_need_no_histograms(asked_study, mixed_sites, walk):
    states = walk(changed(asked_study, model={"knots": 0}), mixed_sites)
    graph = [["patterns"], ["gram", "votes"]]
    assert kinds(states) == [*graph, ["families"], ["aipw", "residuals"], []]


def test_a_given_graph_is_not_learnt(asked_study, mixed_sites, walk):
    study = changed(asked_study, knowledge={"graph": "dag { age -> drug  drug -> pressure }"})
    states = walk(study, mixed_sites)
    families = [["margins"], ["families"]]
    assert kinds(states) == [["effect_patterns"], *families, ["aipw", "residuals"], []]
    assert states[-1].gram is None
    assert set(states[-1].model.graph.nodes) == {"age", "drug", "pressure"}
    assert kinds(walk(study, mixed_sites, steps=("discovery",))) == [[]]


def test_training_has_one_request_a_round_with_its_weights(asked_study, mixed_sites, walk):
    model = {"family": "nodeflow", "rounds": 2, "local_epochs": 1, "hidden": 4, "bins": 4}
    states = walk(changed(asked_study, model=model), mixed_sites, steps=("model",))
    assert kinds(states)[-3:] == [["update"], ["update"], []]
    assert all(set(state.blobs) == {"weights"} for state in states[-3:-1])
    assert states[-1].flow.is_finished
    assert states[-1].blobs == {}


def test_a_neural_model_is_trained_by_name(asked_study):
    assert not trains_flow(asked_study)
    private = changed(asked_study, privacy={"model": {"epsilon": 1.0}})
    assert fits_privately(private)
    assert not trains_flow(private)
    assert trains_flow(changed(asked_study, model={"family": "nodeflow"}))
    private_gram = changed(
        asked_study, model={"family": "gram"}, privacy={"model": {"epsilon": 1.0}}
    )
    assert not trains_flow(private_gram)


def test_a_missing_total_or_one_too_many_stops_the_study(asked_states, release, mixed_sites):
    first, last = asked_states[1], asked_states[-1]
    *others, last_one = first.requests
    with pytest.raises(FedCausalError, match=f"no total of {last_one.id()}"):
        step(first, {r.id(): release(first, r, mixed_sites) for r in others})
    with pytest.raises(FedCausalError, match="the study is done"):
        step(last, {})


def test_a_total_of_another_length_is_refused(asked_states):
    first = asked_states[1]
    wrong = Released(totals=np.zeros(3, dtype=np.int64), withheld=np.zeros(3, dtype=bool))
    with pytest.raises(FedCausalError, match="length"):
        step(first, {request.id(): wrong for request in first.requests})


def test_too_few_sites_are_refused_at_the_start(asked_study):
    with pytest.raises(StudyError, match="expected 3 sites or more, got 2"):
        start(asked_study, 2, 0)


def curved_study(**discovery):
    bounds = {"kind": "continuous", "bounds": [-60, 60]}
    quick = {"bootstrap": 2, "votes": False, "restarts": 1, **discovery}
    return Study.model_validate(
        {"variables": dict.fromkeys("abc", bounds), "discovery": {"heterogeneity": True, **quick}}
    )


def curved_sites(study, as_table, num_sites=8):
    sites = []
    for k in range(num_sites):
        rng = np.random.default_rng(k)
        a = rng.standard_normal(150)
        b = a**2 - 1 + rng.standard_normal(150)
        c = (1.0 + (k % 2)) * b + rng.standard_normal(150)
        sites.append(as_table(study, {"a": a, "b": b, "c": c}))
    return sites


@pytest.mark.parametrize("basis", ["legendre-2", "auto"])
def test_bent_mechanisms_and_differing_slopes_are_told(walk, as_table, basis):
    study = curved_study(basis=basis)
    states = walk(study, curved_sites(study, as_table), steps=("discovery",))
    assert kinds(states) == [["patterns"], ["gram"], ["heterogeneity"], []]
    exact = result_of(states[-1])["exact"]
    joined = {frozenset((e["source"], e["target"])) for e in exact["graph"]["edges"]}
    assert joined == {frozenset("ab"), frozenset("bc")}
    assert "additive regressions" in exact["objective"]
    assert {(h["child"], h["parent"]) for h in exact["heterogeneity"]} >= {("c", "b"), ("c", None)}
    assert any("Sites differ in the slope of b -> c" in note for note in exact["notes"])


def test_a_linear_basis_does_not_see_the_bend(walk, as_table):
    study = curved_study(heterogeneity=False, basis="linear")
    states = walk(study, curved_sites(study, as_table), steps=("discovery",))
    assert [r.parameters.get("site_effects") for r in states[1].requests] == [None, "standardize"]
    found = states[-1].discovery
    assert not found.graph.adjacent("a", "b")


def test_heterogeneity_needs_sites():
    with pytest.raises(StudyError, match=r"discovery.heterogeneity: expected 8 sites or more"):
        start(curved_study(), 7, 0)


def test_tables_take_one_round_per_level_and_no_gram(asked_study, mixed_sites, walk):
    content = asked_study.to_json()
    names = [name for name, v in content["variables"].items() if v.get("categories")]
    content["variables"] = {name: content["variables"][name] for name in names}
    content["knowledge"] = content["effects"] = {}
    content["discovery"] = {"algorithm": "pc", "tests": "tables"}
    study = Study.model_validate(content)
    columns = [mixed_sites[0].schema.index(name) for name in study.schema().names]
    sites = [Table(study.schema(), site.values[:, columns]) for site in mixed_sites]
    states = walk(study, sites)
    phases = [state.phase for state in states]
    assert phases[:2] == ["patterns", "tables"]
    assert set(kinds(states)[1]) == {"tables"}
    assert phases[-1] == "done"
    assert states[-1].gram is None
    assert states[-1].discovery.objective.startswith("PC on contingency tables")
    assert set(states[-1].model.graph.nodes) == set(names)
    assert result_of(walk(study, sites)[-1]) == result_of(states[-1])


def test_replicates_follow_the_gram_and_their_number_fits_the_records(
    asked_study, mixed_sites, walk
):
    discovery = {"resampling": "poisson", "votes": False, "bootstrap": 500}
    study = changed(asked_study, discovery=discovery)
    states = walk(study, mixed_sites, steps=("discovery",))
    assert kinds(states) == [["patterns"], ["gram"], ["replicates"], []]
    asked = states[2].requests[0].parameters
    assert asked["records"] == states[2].gram.num_rows
    assert 0 < asked["replicates"] < 500
    assert any("500 were wanted" in note for note in states[-1].discovery.notes)
    assert all(edge.probability is not None for edge in states[-1].discovery.graph.edges)


def test_too_few_records_for_a_replicate_leave_probabilities_out(asked_study, mixed_sites, walk):
    study = changed(asked_study, discovery={"resampling": "poisson", "votes": False})
    sites = [site.take(np.arange(30)) for site in mixed_sites]
    states = walk(study, sites, steps=("discovery",))
    assert kinds(states) == [["patterns"], ["gram"], []]
    assert any("too few records for one bootstrap" in n for n in states[-1].discovery.notes)
