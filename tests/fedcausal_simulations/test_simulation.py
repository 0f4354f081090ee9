"""The laws of the whole road: every message, lock and gate between the rows and the result."""

import json
import shutil
import threading
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from fedcausal import load_run
from fedcausal.errors import DisclosureError, InputError, StudyError
from fedcausal.protocol import start, step
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import basis_of
from fedcausal.statistics.gram_layout import CentredLayout, PooledLayout
from fedcausal.study import Study
from fedcausal_clients.app import app as client_app
from fedcausal_privacy.canonical import canonical_json, sha256_hex
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import NoPrivacy, PoissonSampledGaussian, event_from_json
from fedcausal_server.app import app as server_app
from fedcausal_server.store.journal import Journal
from fedcausal_server.store.study_store import SqliteStore
from fedcausal_simulations import simulate
from fedcausal_simulations.inprocess import run_inprocess
from fedcausal_simulations.partition import partition_rows
from fedcausal_simulations.reference import analyst_graph, same_edges
from fedcausal_simulations.run_place import new_run_folder
from fedcausal_simulations.simulation import (
    parse_engine,
    read_policy,
    tables_of,
)
from fedcausal_simulations.workspace import prepare_workspace

LEVELS = {"drug": ["a", "b", "c"], "stage": ["low", "mid", "high"], "dead": ["no", "yes"]}
VARIABLES = {
    "age": {"kind": "continuous", "bounds": [18, 100]},
    "dose": {"kind": "continuous", "bounds": [-10.1, 30.3]},
    "drug": {"kind": "categorical", "categories": LEVELS["drug"]},
    "stage": {"kind": "ordinal", "categories": LEVELS["stage"]},
    "dead": {"kind": "binary", "categories": LEVELS["dead"]},
}
QUERY = {"treatment": "dose", "outcome": "dead", "values": [5, 12]}
# A site of a dozen rows would refuse a Gram of seven features; these laws are about sums.
LENIENT = {"min_rows": 2, "max_parameters_per_row": 100}
SITES = ("east", "north", "south", "west")


def study_of(variables=None, **sections):
    discovery = {"bootstrap": 4, "vote_bootstraps": 2, "restarts": 1}
    return Study.model_validate(
        {
            "study": {"name": "laws"},
            "variables": variables or VARIABLES,
            "effects": {"queries": [QUERY], "draws": 20, "samples": 500},
            **sections,
            "discovery": {**discovery, **sections.get("discovery", {})},
        }
    )


def rows_of(num_rows, rng, shift=0.0, missing=0.15):
    """age -> dose <- drug, dose -> stage, dose -> dead; some values missing at random."""
    age = np.clip(rng.normal(55 + shift, 12, num_rows), 18, 100)
    drug = rng.integers(0, 3, num_rows)
    mean = 0.15 * (age - 55) + 3 * (drug == 1) + 8 + shift / 5
    dose = np.clip(mean + rng.normal(0, 2, num_rows), -10, 30)
    stage = np.clip(np.rint(1 + 0.15 * (dose - 8) + rng.normal(size=num_rows) / 2), 0, 2)
    dead = rng.random(num_rows) < 1 / (1 + np.exp(-(dose - 9) / 2))
    codes = {"drug": drug, "stage": stage.astype(int), "dead": dead.astype(int)}
    named = {name: np.array(LEVELS[name])[code] for name, code in codes.items()}
    frame = pd.DataFrame({"age": age, "dose": dose, **named})
    return frame.mask(rng.random(frame.shape) < missing)


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(20)
    return {name: rows_of(150 + 10 * k, rng, shift=4.0 * k) for k, name in enumerate(SITES)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, sites):
    """One run to the end."""
    return simulate(study_of(), sites, out=tmp_path_factory.mktemp("whole") / "run")


def exact(run):
    return run.result["exact"]


def total(run, kind):
    (found,) = [d for name, d in exact(run)["totals"].items() if name.startswith(f"{kind}-")]
    return found


def replay(run, study, num_sites):
    """Every recorded round of a run: (request, spec, released)."""
    journal = Journal(store=SqliteStore.open(run.path / "journal"))
    state, number = start(study, num_sites, exact(run)["seed"]), 0
    while not state.done:
        number += 1
        released, _ = journal.replay(number, state.requests)
        for request in state.requests:
            yield request, derive_spec(study, request, num_sites), released[request.id()]
        state = step(state, released)


# (a) One answer.


@pytest.mark.parametrize(
    "options",
    [{"order_seed": 0}, {"order_seed": 1}, {"order_seed": 2}, {"strict": False}, {}],
    ids=str,
)
def test_the_exact_part_is_the_same_every_time(tmp_path, sites, whole, options):
    again = simulate(study_of(), sites, out=tmp_path / "run", **options)
    assert exact(again) == exact(whole)
    text = (tmp_path / "run" / "result.json").read_text()
    assert text == (whole.path / "result.json").read_text()


def test_the_order_of_sites_and_of_rows_of_a_study_makes_no_difference(tmp_path, sites, whole):
    backwards = {name: sites[name] for name in reversed(SITES)}
    turned = study_of(dict(reversed(VARIABLES.items())))
    assert exact(simulate(turned, backwards, out=tmp_path / "run")) == exact(whole)


def test_two_runs_at_once_in_one_process(tmp_path, sites, whole):
    def work(name):
        found[name] = exact(simulate(study_of(), sites, out=tmp_path / name))

    found = {}
    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": exact(whole), "b": exact(whole)}


# (b) Nothing is lost on the way.


@pytest.mark.parametrize("effects", ["center", "pool"])
@pytest.mark.parametrize("votes", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_federated_graph_is_the_analysts(tmp_path, effects, votes, seed):
    rng = np.random.default_rng(100 + seed)
    sites = {name: rows_of(120 + 30 * k, rng, shift=3.0 * k) for k, name in enumerate(SITES)}
    study = study_of(discovery={"site_effects": effects, "votes": votes})
    run = simulate(study, sites, seed=seed, steps=["discovery"], out=tmp_path / "run")
    analyst = analyst_graph(study, sites, seed=seed)
    assert same_edges(run.graph, analyst.graph)
    assert same_edges(run.dag, analyst.dag)
    assert exact(run)["score"] == pytest.approx(analyst.score, rel=1e-4)


# (c) Pooled sums do not know who holds a row.


def dealt(rows, num_sites, seed):
    parts = partition_rows(len(rows), num_sites, seed=seed)
    return {name: rows.iloc[chosen].reset_index(drop=True) for name, chosen in parts.items()}


def pooled_run(out, sites, variables=None):
    study = study_of(variables, discovery={"site_effects": "pool"})
    return simulate(study, sites, steps=["discovery"], policy=LENIENT, out=out)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory, sites):
    rows = pd.concat(sites.values(), ignore_index=True)
    return rows, pooled_run(tmp_path_factory.mktemp("pooled") / "run", dealt(rows, 3, seed=0))


@pytest.mark.parametrize(
    "num_sites", [3, 7, 20, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_any_partition_gives_the_same_totals_and_the_same_graph(tmp_path, pooled, num_sites):
    rows, first = pooled
    run = pooled_run(tmp_path / "run", dealt(rows, num_sites, seed=num_sites))
    assert total(run, "gram") == total(first, "gram")
    assert run.graph == first.graph
    assert exact(run)["score"] == exact(first)["score"]
    assert len(run.card["sites"]) == num_sites


# (d) The same where bounds are left out.


def test_without_bounds_ranges_come_first_and_do_not_know_the_partition(tmp_path, pooled):
    rows, _ = pooled
    open_bounds = {**VARIABLES, "age": {"kind": "continuous"}, "dose": {"kind": "continuous"}}
    runs = [pooled_run(tmp_path / str(k), dealt(rows, k, seed=k), open_bounds) for k in (3, 5)]
    first, second = (exact(run) for run in runs)
    assert first["ranges"] == second["ranges"]
    for name in ("age", "dose"):
        low, high = first["ranges"][name]
        assert low <= rows[name].min() < rows[name].max() <= high
    assert total(runs[0], "range") == total(runs[1], "range")
    assert total(runs[0], "gram") == total(runs[1], "gram")
    assert runs[0].graph == runs[1].graph


# (e), (f) No more is done than was asked for.


def test_discovery_alone_trains_nothing_and_writes_no_model(tmp_path, sites):
    study = study_of(privacy={"model": {"epsilon": 2.0}})
    run = simulate(study, sites, steps=("discovery",), out=tmp_path / "run")
    assert not (run.path / "model").exists()
    asked = {name.partition("-")[0] for name in exact(run)["totals"]}
    assert asked == {"patterns", "gram", "votes"}
    assert run.result["noised"] == {}
    assert run.card["rounds"] == 2
    stated = {part["part"]: part["epsilon"] for part in run.card["privacy"]}
    assert stated == {"graph": None, "effects": None, "model": None}
    with pytest.raises(InputError, match='run the step "model" too'):
        _ = run.model


def test_a_given_graph_is_not_looked_for(tmp_path, sites):
    graph = "dag { age -> dose  drug -> dose  dose -> dead  dose -> stage }"
    run = simulate(study_of(knowledge={"graph": graph}), sites, out=tmp_path / "run")
    asked = {name.partition("-")[0] for name in exact(run)["totals"]}
    assert asked == {"effect_patterns", "margins", "families", "residuals"}
    assert set(run.graph.directed_edges) == {
        ("age", "dose"),
        ("drug", "dose"),
        ("dose", "dead"),
        ("dose", "stage"),
    }
    assert run.effects[0]["estimate"] > 0
    assert (run.path / "report.html").is_file()


# (g) Odd sites.


def test_levels_that_are_rare_or_alone_at_one_site_stop_nothing(tmp_path, sites):
    odd = {name: frame.copy() for name, frame in sites.items()}
    odd["east"]["drug"] = "a"
    odd["north"]["stage"] = "low"
    odd["south"].loc[odd["south"].index[1:], "dead"] = "no"
    odd["south"].loc[odd["south"].index[0], "dead"] = "yes"
    odd["west"]["age"] = 40.0
    run = simulate(study_of(), odd, out=tmp_path / "run")
    assert set(run.graph.nodes) == set(VARIABLES)
    assert run.effects
    assert set(run.model.sample(200, seed=0)["drug"]) == {"a", "b", "c"}


# (h) Resume.


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 4])
def test_a_run_that_was_cut_short_goes_on_to_the_same_result(tmp_path, sites, whole, kept):
    workspace = prepare_workspace(study_of(), sites, tmp_path / "work", seed=0)
    out = tmp_path / "run"
    run_inprocess(server_app, client_app, workspace, out, 0)
    for path in [*out.iterdir()]:
        if path.name != "journal":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with closing(SqliteStore.open(out / "journal")) as store:
        rounds = store.keys("round/")
        assert len(rounds) == 4
        store.commit(dict.fromkeys(rounds[kept:]))
    run_inprocess(server_app, client_app, workspace, out, 0)
    run = load_run(out)
    assert exact(run) == exact(whole)
    assert (run.card["replayed_rounds"], run.card["rounds"]) == (kept, 4)


# (i) The ledger.


@pytest.fixture(scope="module")
def private(tmp_path_factory, sites):
    study = study_of(
        privacy={"model": {"epsilon": 3.0}, "delta": 1e-5},
        model={"family": "nodeflow", "rounds": 3, "local_epochs": 1, "hidden": 4, "bins": 4},
    )
    return study, simulate(study, sites, out=tmp_path_factory.mktemp("private") / "run")


def test_every_site_spends_nearly_all_of_its_budget_and_no_more(private):
    study, run = private
    assert set(run.ledger) == set(SITES)
    for entries in run.ledger.values():
        events = {part: [] for part in ("graph", "effects", "model")}
        for entry in entries:
            events[entry["part"]].append(event_from_json(entry["event"]))
        assert len(events["model"]) == study.model.rounds
        assert all(isinstance(event, PoissonSampledGaussian) for event in events["model"])
        spent = epsilon_of(events["model"], study.privacy.delta)
        assert 0.9 * 3.0 < spent <= 3.0
        exact_releases = events["graph"] + events["effects"]
        assert {event.name for event in exact_releases} == {
            "patterns",
            "gram",
            "votes",
            "families",
            "residuals",
        }
        assert all(isinstance(event, NoPrivacy) for event in exact_releases)


def test_training_changes_nothing_of_the_exact_part(private, whole):
    _, run = private
    ours, others = exact(run), exact(whole)
    assert {k for k in ours if ours[k] != others[k]} == {"study_hash"}
    assert run.result["noised"]["nodeflow"]["epsilon"] == 3.0


def test_the_neural_model_answers_in_the_words_of_the_study(private):
    _, run = private
    flow = run.model.of_family("nodeflow")
    drawn = flow.sample(100, do={"drug": "b"}, seed=0)
    assert set(drawn["drug"]) == {"b"}
    for name, levels in LEVELS.items():
        assert set(drawn[name]) <= set(levels)
    assert np.isfinite(drawn["dose"]).all()
    changed = flow.counterfactual(drawn, do={"dose": 12.0})
    assert (changed["dose"] == 12.0).all()
    pd.testing.assert_series_equal(changed["age"], drawn["age"])
    assert flow.effect("dose", "dead", (5, 12)).outcome == "dead"
    assert run.model.load().family == "nodeflow"


# (j) What is written down.


def test_every_partys_audit_log_is_whole(whole):
    chains = {}
    for line in (whole.path / "audit.jsonl").read_text().splitlines():
        entry = json.loads(line)
        party = entry.pop("party")
        assert entry["prev"] == chains.get(party, "0" * 64), party
        chains[party] = sha256_hex(canonical_json(entry))
    assert set(chains) == {*SITES, "steward"}


def test_no_value_of_a_record_is_written_anywhere(tmp_path, sites):
    study = study_of(
        privacy={"model": {"epsilon": 3.0}},
        model={"family": "nodeflow", "rounds": 1, "local_epochs": 1},
    )
    run = simulate(study, sites, out=tmp_path / "run")
    texts = {
        path.relative_to(run.path): path.read_bytes().decode("latin-1")
        for path in run.path.rglob("*")
        if path.is_file()
    }
    assert {"audit.jsonl", "run.json", "result.json", "ledger.json"} <= {str(p) for p in texts}
    for frame in sites.values():
        for value in pd.concat([frame["age"], frame["dose"]]).dropna():
            shown = repr(float(value))[:10]
            assert len(shown) < 10 or not [p for p, text in texts.items() if shown in text]


def test_nothing_is_written_outside_the_run_folder(tmp_path, sites, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    simulate(study_of(), sites, steps=["discovery"], out=tmp_path / "there" / "run")
    assert list((tmp_path / "here").iterdir()) == []
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["run"]


# (k) Withheld cells.


@pytest.mark.parametrize("effects", ["center", "pool"])
def test_a_rare_level_is_named_and_its_count_is_nowhere(tmp_path, sites, effects):
    levels = [*LEVELS["drug"], "rare"]
    variables = {**VARIABLES, "drug": {"kind": "categorical", "categories": levels}}
    study = study_of(variables, discovery={"site_effects": effects})
    odd = {name: frame.copy() for name, frame in sites.items()}
    for name in ("east", "north", "south"):
        odd[name].loc[odd[name].index[7], "drug"] = "rare"
    run = simulate(study, odd, out=tmp_path / "run")
    reasons = dict(exact(run)["dropped"])
    assert reasons["drug=rare"] == "withheld: too few records"
    released = list(replay(run, study, len(odd)))
    assert {request.kind for request, _, _ in released} == {
        "patterns",
        "gram",
        "votes",
        "families",
        "residuals",
    }
    for _, spec, total in released:
        counts = [*spec.counts, *(cell for table in spec.tables for cell in table.cells)]
        shown = total.totals[counts]
        assert ((shown == 0) | (shown >= study.privacy.min_cell)).all()
        assert (total.totals[total.withheld] == 0).all()
    request, _, gram = next(r for r in released if r[0].kind == "gram")
    basis = basis_of(study, request)
    block = list(basis.block("drug"))
    rare = next(i for i in block if basis.features[i].label == "drug=rare")
    if effects == "center":
        entries = CentredLayout(basis).sums
    else:
        layout = PooledLayout(basis)
        entries = layout.values[np.arange(basis.num_features), basis.owners]
    assert gram.withheld[entries[rare]]
    # With one partner withheld the rest of the table does not give the count away.
    assert gram.withheld[entries[block]].sum() >= 2


# Doors.


def test_a_folder_in_use_is_left_alone(tmp_path, sites):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="expected a new or an empty folder"):
        simulate(study_of(), sites, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_and_the_current_one_are_filled(tmp_path, sites, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    run = simulate(study_of(), sites, steps=["discovery"], out=".")
    assert run.result["exact"]["num_sites"] == 4
    assert (tmp_path / "empty" / "result.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_that_fails_leaves_everything_as_it_was(tmp_path, sites, exists):
    folder = tmp_path / "run"
    if exists:
        folder.mkdir()
    with pytest.raises(DisclosureError, match="east: too-few-rows"):
        simulate(study_of(), sites, out=folder, policy={"min_rows": 155})
    assert [path.name for path in tmp_path.iterdir()] == ["run"] * exists
    assert not exists or list(folder.iterdir()) == []


def test_a_place_where_no_folder_can_be_is_named(tmp_path, sites):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--out"):
        simulate(study_of(), sites, out=tmp_path / "file" / "run")
    with pytest.raises(InputError, match="expected a new or an empty folder"):
        simulate(study_of(), sites, out=tmp_path / "file")


def test_runs_without_a_name_are_numbered(tmp_path, sites, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new_run_folder(study_of()).name == "laws-1"
    runs = [simulate(study_of(), sites, steps=["discovery"]) for _ in range(2)]
    assert [str(run.path) for run in runs] == ["runs/laws-1", "runs/laws-2"]
    odd = study_of(study={"name": "../a b/c"})
    assert new_run_folder(odd).name == "---a-b-c-1"


def test_two_sites_are_too_few(tmp_path, sites):
    two = {name: sites[name] for name in SITES[:2]}
    with pytest.raises(StudyError, match="expected 3 sites or more, got 2"):
        simulate(study_of(), two, out=tmp_path / "run")


def test_sites_come_from_a_column_or_at_random(tmp_path, sites):
    rows = pd.concat([f.assign(where=name) for name, f in sites.items()], ignore_index=True)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    path = tmp_path / "rows.csv"
    by_column = tables_of(path, site_column="where", num_sites=None, seed=0)
    assert {name: table.num_rows for name, table in by_column.items()} == {
        name: len(frame) for name, frame in sites.items()
    }
    dealt_rows = tables_of(path, site_column="where", num_sites=5, seed=0)
    assert sum(table.num_rows for table in dealt_rows.values()) == len(rows)
    again = tables_of(path, site_column=None, num_sites=5, seed=0)
    assert all(again[name].equals(table) for name, table in dealt_rows.items())
    with pytest.raises(InputError, match="--site-column"):
        tables_of(path, site_column=None, num_sites=None, seed=0)


def test_a_policy_is_a_table_or_a_whole_file(tmp_path):
    path = tmp_path / "policy.toml"
    for text in ("min_rows = 7", "[policy]\nmin_rows = 7"):
        path.write_text(text)
        assert read_policy(path) == {"min_rows": 7}
    path.write_text("policy = 3")
    with pytest.raises(InputError, match=r"a table \[policy\]"):
        read_policy(path)
    path.write_text("=")
    with pytest.raises(InputError, match="not valid TOML"):
        read_policy(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_policy(tmp_path / "none.toml")


def test_engines_are_named():
    assert parse_engine("ray") == "ray"
    with pytest.raises(InputError, match="expected one of inprocess, ray, got 'dask'"):
        parse_engine("dask")
