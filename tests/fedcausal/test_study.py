"""The study file: what it refuses and in which words, its hash, its round trip."""

import contextlib
import copy
import itertools
import json
import random

import pytest

from fedcausal.errors import StudyError
from fedcausal.study import Study

BASE = {
    "study": {"name": "demo"},
    "variables": {
        "age": {"kind": "continuous", "bounds": [0, 120], "missing": [-1]},
        "sex": {"kind": "categorical", "categories": ["m", "f"]},
        "dose": {"kind": "ordinal", "bounds": [0, 4]},
        "y": {"kind": "binary"},
    },
}


def _changed(path, value):
    content = copy.deepcopy(BASE)
    *sections, last = path.split(".")
    here = content
    for section in sections:
        here = here.setdefault(section, {})
    here[last] = value
    return content


def _message(content):
    with pytest.raises(StudyError) as caught:
        Study.model_validate(content, source="study.toml")
    assert caught.value.exit_code == 4
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            "variables.age.bounds",
            [120, 0],
            "study.toml: variables.age.bounds: expected lo < hi, got [120, 0]; "
            "write bounds = [0, 120]",
        ),
        ("variables.age.bonds", [0, 1], "variables.age.bonds: unknown key; did you mean 'bounds'"),
        ("discovry", {}, "discovry: unknown key; did you mean 'discovery'"),
        ("discovery.alfa", 0.1, "discovery.alfa: unknown key; did you mean 'alpha'"),
        ("discovery.alpha", "0.1", 'discovery.alpha: expected a number, got "0.1"'),
        ("discovery.bootstrap", True, "discovery.bootstrap: expected a whole number, got true"),
        ("discovery.votes", 1, "discovery.votes: expected true or false, got 1"),
        ("discovery.site_effects", "centre", '"center", "standardize" or "pool", got "centre"'),
        ("discovery.algorithm", "foo", 'write one of "order-search", "flop", "pc"'),
        ("discovery.basis", "legendre-9", 'write one of "linear", "legendre-2", "legendre-3"'),
        ("discovery.time_limit_seconds", 0, "discovery.time_limit_seconds: expected"),
        ("discovery.time_limit_seconds", "1 h", "discovery.time_limit_seconds: expected"),
        (
            "variables.sex.basis",
            "legendre-2",
            "variables.sex.basis: a categorical variable has its",
        ),
        ("variables.age.basis", "cubic", 'variables.age.basis: unknown basis "cubic"'),
        ("variables.age.kind", "cont", '"ordinal", "binary" or "categorical", got "cont"'),
        ("variables.age", 3, "variables.age: expected a table of keys, got 3"),
        ("variables.age", {}, 'variables.age.kind: the key is missing; write kind = "continuous"'),
        ("variables.age.bounds", 5, "expected a list [..., ...], got 5; write bounds = [lo, hi]"),
        ("variables.age.bounds", [0], "variables.age.bounds[1]: expected 2 values"),
        ("variables.age.bounds", [0, float("inf")], "expected a finite number"),
        ("variables", {}, "expected two variables or more"),
        ("variables.sex.bounds", [0, 1], "has no bounds; remove them"),
        ("privacy.min_sites", 2, "privacy.min_sites: expected at least 3, got 2"),
        ("privacy.secure_aggregation", False, "remove the key"),
        ("privacy.mode", "three-steward", "privacy.mode: expected"),
        ("privacy.effects", {"epsilon": 0}, "privacy.effects.epsilon: expected greater than 0"),
        ("effects.propensity_clip", 0.5, "effects.propensity_clip: expected"),
        ("privacy.model", {"epsilon": 0}, "privacy.model.epsilon: expected greater than 0, got 0"),
        ("privacy.graph", {"epsilon": -1}, "privacy.graph.epsilon: expected greater than 0"),
        ("knowledge.tiers", [["age", "sexx"]], "tiers[0]: unknown variable 'sexx'; did you mean"),
        ("knowledge.tiers", [["age"], ["y", "age"]], "tiers[1]: 'age' is in tier 0 already"),
        ("knowledge.required", [["age", "z"]], "knowledge.required[0]: unknown variable 'z'"),
        ("knowledge.forbidden", [["age"]], "knowledge.forbidden[0][1]: expected 2 values"),
        ("knowledge.required", [["age", "age"]], "'age' cannot be its own cause"),
        (
            "knowledge.required",
            [["age", "y"], ["y", "dose"], ["dose", "age"]],
            "the edges form a cycle",
        ),
        (
            "knowledge",
            {"required": [["age", "y"]], "forbidden": [["age", "y"]]},
            'knowledge.required[0]: ["age", "y"] is forbidden too',
        ),
        (
            "knowledge",
            {"required": [["y", "age"]], "tiers": [["age"], ["y"]]},
            "from a later tier to an earlier one",
        ),
        ("rounds.quorum", 2, "rounds.quorum: expected at least 3, got 2"),
        ("rounds.deadline_seconds", float("inf"), "expected a finite number"),
    ],
)
def test_each_mistake_names_its_key_and_its_remedy(path, value, words):
    assert words in _message(_changed(path, value))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"treatment": "age", "outcome": "z", "values": [1, 2]}, "[0].outcome: unknown variable"),
        ({"treatment": "age", "outcome": "age", "values": [1, 2]}, "name two variables"),
        ({"treatment": "age", "outcome": "y", "values": [2, 2.0]}, "two different values"),
        ({"treatment": "age", "outcome": "y", "values": [2, 500]}, "500 is outside the bounds"),
        ({"treatment": "sex", "outcome": "y", "values": ["m", "d"]}, "no level 'd'"),
        ({"treatment": "age", "outcome": "y", "values": ["m", 3]}, "write two numbers"),
        ({"treatment": "age", "outcome": "y"}, "values: the key is missing"),
    ],
)
def test_queries_fit_their_variables(query, words):
    assert words in _message(_changed("effects.queries", [query]))


def test_all_mistakes_are_told_at_once():
    content = _changed("discovery.alpha", 2)
    content["privacy"] = {"min_sites": 1}
    assert len(_message(content).splitlines()) == 2


def test_hash_ignores_key_order_and_written_defaults():
    study = Study.model_validate(BASE)
    reordered = dict(reversed(BASE.items()))
    reordered["variables"] = dict(reversed(BASE["variables"].items()))
    explicit = Study.model_validate(study.to_json())
    spelt = _changed("variables.y.categories", [0, 1])
    spelt["variables"]["age"]["bounds"] = [0.0, 120.0]
    spelt["privacy"] = {"model": {}}
    spelt["discovery"] = {"basis": "linear"}
    others = [Study.model_validate(reordered), explicit, Study.model_validate(spelt)]
    assert len(study.hash()) == 64
    assert {other.hash() for other in others} == {study.hash()}
    assert all(other == study and other.schema() == study.schema() for other in others)
    assert Study.model_validate(_changed("discovery.alpha", 0.02)).hash() != study.hash()


def test_toml_round_trip(tmp_path):
    content = _changed(
        "effects.queries", [{"treatment": "sex", "outcome": "y", "values": ["m", "f"]}]
    )
    content["knowledge"] = {"tiers": [["age", "sex"], ["y"]], "required": [["age", "y"]]}
    content["privacy"] = {"model": {"epsilon": 2.0}, "max_rows": 10_000}
    study = Study.model_validate(content)
    path = tmp_path / "study.toml"
    path.write_text(study.to_toml(), encoding="utf-8")
    assert Study.load(path) == study
    assert Study.load(path).hash() == study.hash()
    assert Study.model_validate(json.loads(json.dumps(study.to_json()))) == study


def test_the_hash_covers_the_text_of_a_graph_file(tmp_path):
    path, graph = tmp_path / "study.toml", tmp_path / "graph.txt"
    path.write_text(
        Study.model_validate(BASE)
        .to_toml()
        .replace("[knowledge]", '[knowledge]\ngraph = "graph.txt"')
    )
    with pytest.raises(StudyError, match=r"knowledge.graph: there is no file 'graph.txt'"):
        Study.load(path)
    graph.write_text("dag { age -> y }")
    first = Study.load(path)
    graph.write_text("dag { y -> age }")
    assert first.knowledge.graph == "dag { age -> y }"
    assert Study.load(path).hash() != first.hash()
    assert Study.model_validate(first.to_json()) == first


def test_unreadable_files_are_explained(tmp_path):
    with pytest.raises(StudyError, match="no such file"):
        Study.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[study\n")
    with pytest.raises(StudyError, match=r"bad.toml: not valid TOML.*line 1"):
        Study.load(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b'[study]\nname = "\xe4"\n')
    with pytest.raises(StudyError, match="UTF-8"):
        Study.load(tmp_path / "latin.toml")
    with pytest.raises(StudyError, match="expected a table"):
        Study.model_validate([1, 2])


def test_rosters_below_the_minimum_or_beside_the_quorum_are_refused():
    study = Study.model_validate(_changed("rounds.quorum", 4))
    study.check_num_sites(4)
    study.check_num_sites(5)
    with pytest.raises(StudyError, match=r"rounds.quorum: expected 3 .* to 3 sites, got 4"):
        study.check_num_sites(3)
    with pytest.raises(StudyError, match="expected 3 sites or more, got 2"):
        Study.model_validate(BASE).check_num_sites(2)


def test_no_mutation_of_a_study_gives_anything_but_a_study_or_a_study_error():
    rng = random.Random(0)
    full = Study.model_validate(BASE).to_json()
    junk = [None, True, -1, 0, 1e308, float("nan"), "", "x", [], {}, [[]], {"a": 1}, b"x"]
    paths = list(_paths(full))
    for path, value in itertools.islice(
        ((rng.choice(paths), rng.choice(junk)) for _ in itertools.count()), 500
    ):
        content = copy.deepcopy(full)
        here = content
        for part in path[:-1]:
            here = here[part]
        if rng.random() < 0.2 and isinstance(here, dict):
            here[str(path[-1]) + "x"] = here.pop(path[-1])
        else:
            here[path[-1]] = value
        with contextlib.suppress(StudyError):
            Study.model_validate(content)


def _paths(value, prefix=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*prefix, key)
        if isinstance(inner, dict | list):
            yield from _paths(inner, (*prefix, key))


def test_heavy_tails_have_no_noisy_form():
    bounded = {"kind": "continuous", "bounds": [0, 1]}
    content = {
        "variables": {"x": {**bounded, "basis": "asinh-2"}, "y": bounded},
        "privacy": {"graph": {"epsilon": 1.0}},
    }
    assert "variables.x.basis: 'asinh-2' of x has no noisy form" in _message(content)
