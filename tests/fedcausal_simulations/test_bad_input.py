"""What people get wrong: a message that says where and what to type, and nothing half-written."""

import copy
import gzip
import json
import random

import numpy as np
import pandas as pd
import pytest
import tomli_w

from fedcausal.cli import main

STUDY = {
    "study": {"name": "toy", "title": "A toy"},
    "variables": {
        "age": {"kind": "continuous", "bounds": [0, 120], "unit": "years"},
        "dose": {"kind": "continuous", "bounds": [0, 10], "missing": [-9]},
        "pain": {"kind": "categorical", "categories": ["no", "mild", "strong"]},
        "sex": {"kind": "binary", "categories": ["f", "m"]},
    },
    "knowledge": {
        "tiers": [["age", "sex"], ["dose", "pain"]],
        "required": [["age", "dose"]],
        "forbidden": [["sex", "pain"]],
    },
    "discovery": {"bootstrap": 2, "vote_bootstraps": 2},
    "privacy": {"min_sites": 3, "delta": 1e-5, "model": {"epsilon": 4.0}},
    "model": {"family": "gram", "rounds": 2},
    "effects": {
        "queries": [{"treatment": "age", "outcome": "dose", "values": [30, 60]}],
        "draws": 20,
    },
    "rounds": {"deadline_seconds": 60},
}


def make_rows():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 90, 180).round(1)
    return pd.DataFrame(
        {
            "age": age,
            "dose": (age / 20 + rng.normal(2, 0.5, 180)).clip(0, 10).round(2),
            "pain": rng.choice(["no", "mild", "strong"], 180),
            "sex": rng.choice(["f", "m"], 180),
            "site": np.repeat(["north", "south", "west"], 60),
        }
    )


ROWS = make_rows()


@pytest.fixture
def place(tmp_path):
    """A folder with study.toml and rows.csv, both fine."""
    (tmp_path / "study.toml").write_text(tomli_w.dumps(STUDY))
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def set_key(place, path, value):
    study, (*above, last) = copy.deepcopy(STUDY), path.split("/")
    section = study
    for key in above:
        section = section.setdefault(key, {})
    if value is None:
        del section[last]
    else:
        section[last] = value
    (place / "study.toml").write_text(tomli_w.dumps(study))


def set_rows(place, rows):
    rows.to_csv(place / "rows.csv", index=False)


def with_cell(column, value, row=65):
    rows = ROWS.astype({column: object})
    rows.loc[row, column] = value
    return rows


def with_sites(**names):
    return ROWS.assign(site=ROWS["site"].map(lambda name: names.get(name, name)))


def simulate(place, *options, sites=("--site-column", "site")):
    study, rows, out = (str(place / name) for name in ("study.toml", "rows.csv", "run"))
    return ["simulate", study, "--data", rows, "--out", out, *sites, *options]


def check_refused(arguments, capsys, *fragments, exit_code=4):
    """In lines and in JSON: the code, the words, and no traceback."""
    capsys.readouterr()
    assert main(arguments) == exit_code
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    for fragment in fragments:
        assert fragment in said.err
    assert main([*arguments, "--format", "json"]) == exit_code
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (answer["status"], answer["exit_code"]) == ("error", exit_code)
    assert "Traceback" not in said.err
    for fragment in fragments:
        assert fragment in answer["message"]


def check_nothing_written(place, before):
    assert {path.name for path in place.iterdir()} == before


def refused(place, capsys, arguments, *fragments, exit_code=4):
    before = {path.name for path in place.iterdir()}
    check_refused(arguments, capsys, *fragments, exit_code=exit_code)
    check_nothing_written(place, before)


@pytest.mark.parametrize(
    ("path", "value", "fragments"),
    [
        ("discovery/algoritm", "pc", ["discovery.algoritm: unknown key", "'algorithm'"]),
        ("privacyy", {}, ["privacyy: unknown key", "did you mean 'privacy'"]),
        ("variables/age/bound", [0, 1], ["variables.age.bound: unknown key", "'bounds'"]),
        ("variables/age/kind", "continous", ['variables.age.kind: expected "continuous"']),
        ("variables/age/kind", None, ["variables.age.kind: the key is missing; write kind ="]),
        ("variables/age", 3, ["variables.age: expected a table of keys, got 3"]),
        ("variables", 3, ["variables: expected a table of keys"]),
        ("variables", None, ["variables: the key is missing"]),
        ("variables/age/bounds", "0-120", ["variables.age.bounds: ", "write bounds = [lo, hi]"]),
        ("variables/age/bounds", ["a", 3], ["variables.age.bounds[0]: expected a number"]),
        ("variables/age/bounds", [120, 0], ["variables.age.bounds: ", "write bounds = [0, 120]"]),
        ("variables/age/bounds", [0, 0], ["variables.age.bounds: ", "two different numbers"]),
        ("variables/age/bounds", [0, float("inf")], ["variables.age.bounds[1]: ", "finite"]),
        ("variables/age/bounds", [float("nan"), 1.0], ["variables.age.bounds[0]: ", "finite"]),
        ("variables/age/bounds", [-1e308, 1e308], ["variables.age.bounds: ", "larger unit"]),
        ("variables/age/bounds", [0, 1e308], ["variables.age.bounds: ", "larger unit"]),
        ("variables/age/bounds", [0, 1e-308], ["variables.age.bounds: ", "too narrow"]),
        ("variables/pain/categories", ["no"], ["variables.pain: ", "2 or more"]),
        ("variables/pain/categories", ["no", "no"], ["variables.pain: ", "listed twice"]),
        ("variables/pain/categories", ["no", ""], ["variables.pain.categories: "]),
        ("variables/a\nb", {"kind": "binary"}, ["variables: expected names of one line"]),
        ("study/name", "a\nb", ["study.name: expected one line"]),
        ("discovery/bootstrap", "many", ["discovery.bootstrap: expected a whole number"]),
        ("discovery/bootstrap", -1, ["discovery.bootstrap: expected at least 0"]),
        ("discovery/algorithm", "magic", ["discovery.algorithm: ", "order-search"]),
        ("discovery/penalty", 1e308, ["discovery.penalty: expected at most 1000000"]),
        ("discovery/vote_weight", 1e308, ["discovery.vote_weight: expected at most"]),
        ("privacy/min_sites", 2, ["privacy.min_sites: expected at least 3"]),
        ("privacy/delta", 2.0, ["privacy.delta: "]),
        ("privacy/model/epsilon", 1e308, ["privacy.model.epsilon: expected at most"]),
        ("model/device", "quantum", ["model.device: expected"]),
        ("rounds/deadline_seconds", 1e308, ["rounds.deadline_seconds: expected at most"]),
        (
            "knowledge/required",
            [["age", "dose"], ["dose", "age"]],
            ["knowledge.required: the edges form a cycle"],
        ),
        ("knowledge/forbidden", [["age", "dose"]], ["knowledge.required[0]: ", "forbidden too"]),
        ("knowledge/required", [["age", "age"]], ["knowledge.required[0]: ", "own cause"]),
        ("knowledge/required", [["dose", "age"]], ["knowledge.required[0]: ", "later tier"]),
        (
            "knowledge/required",
            [["age", "dose", "sex"]],
            ["knowledge.required[0]: expected 2 values"],
        ),
        ("knowledge/required", [["age", "doze"]], ["unknown variable 'doze'", "mean 'dose'"]),
        ("knowledge/tiers", ["age"], ["knowledge.tiers[0]: expected a list"]),
        ("knowledge/graph", "none.json", ["knowledge.graph: there is no file 'none.json'"]),
        ("knowledge/graph", "nonsense {", ["knowledge.graph: expected a graph as JSON"]),
        ("knowledge/graph", "dag { a -> b }", ["knowledge.graph: 'a' is no variable"]),
        ("knowledge/graph", "dag { dose -> age }", ["knowledge.graph: contradicts"]),
        (
            "effects/queries",
            [{"treatment": "age", "outcome": "dose", "values": [0, 500]}],
            ["effects.queries[0].values: 500 is outside the bounds [0, 120]"],
        ),
        (
            "effects/queries",
            [{"treatment": "age", "outcome": "dose"}],
            ["effects.queries[0].values: the key is missing; write values = [0, 1]"],
        ),
        (
            "effects/queries",
            [{"treatment": "sex", "outcome": "dose", "values": ["f", "x"]}],
            ["effects.queries[0].values: 'sex' has no level 'x'"],
        ),
        (
            "effects/queries",
            [{"treatment": "age", "outcome": "dose", "values": [30, 60], "population": "me"}],
            ['effects.queries[0].population: expected "pooled"'],
        ),
    ],
)
def test_a_faulty_study_file(place, capsys, path, value, fragments):
    set_key(place, path, value)
    validate = ["study", "validate", str(place / "study.toml")]
    for arguments in (validate, simulate(place)):
        refused(place, capsys, arguments, "study.toml: ", *fragments)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"[study", "study.toml: not valid TOML: "),
        (b"", "study.toml: variables: the key is missing"),
        (b"\xff\xfe\x00", "study.toml: expected UTF-8 text"),
        (None, "study.toml: there is no such file"),
    ],
)
def test_a_study_file_that_cannot_be_read(place, capsys, content, fragment):
    (place / "study.toml").unlink()
    if content is not None:
        (place / "study.toml").write_bytes(content)
    refused(place, capsys, simulate(place), fragment)
    refused(place, capsys, ["study", "hash", str(place / "study.toml")], fragment)


@pytest.mark.parametrize(
    ("rows", "fragments"),
    [
        (ROWS.rename(columns={"age": "Age"}), ["age: no site has it", "rename it to 'Age'"]),
        (ROWS.drop(columns="dose"), ["dose: no site has it; remove variables.dose"]),
        (ROWS.assign(dose=np.nan), ["dose: no site has it; remove variables.dose"]),
        (with_cell("pain", "awful"), ["south:pain: ", "1 row", "variables.pain.categories"]),
        (with_cell("age", np.inf), ["south:age: infinite in 1 row"]),
        (with_cell("age", "1e308"), ["south:age: beyond the declared bounds [0, 120] in 1 row"]),
        (with_cell("age", 120.1), ["south:age: beyond", "widen variables.age.bounds"]),
        (with_cell("age", "old"), ["south:age: not a number in 1 row", "variables.age.missing"]),
        (ROWS.assign(dose=5), ["dose: constant at every site; remove variables.dose"]),
        (ROWS.assign(sex="f"), ["sex: constant at every site; remove variables.sex"]),
        (ROWS.drop(index=range(61, 120)), ["south: expected at least 2 rows, got 1"]),
        (ROWS[ROWS["site"] != "south"], ["privacy.min_sites: expected 3 sites or more, got 2"]),
        (ROWS.head(0), ["rows.csv: the file has no rows"]),
        (ROWS.drop(columns="site"), ["rows.csv:site: there is no site column 'site'"]),
        (with_cell("site", None), ["rows.csv:site: 1 row names no site"]),
        (with_cell("site", "North", row=0), ["rows.csv:site: 'North' and 'north'", "one way"]),
        (with_sites(north="a b", south="a_b"), ["sites 'a b' and 'a_b'", "rename one"]),
        (with_sites(north="Steward"), ["site 'Steward': ", "rename the site"]),
        (with_sites(north="??"), ["site '??': ", "rename it"]),
    ],
)
def test_rows_that_do_not_fit(place, capsys, rows, fragments):
    set_rows(place, rows)
    refused(place, capsys, simulate(place), *fragments)


def test_a_number_without_bounds_has_a_limit_too(place, capsys):
    variables = {**STUDY["variables"], "age": {"kind": "continuous"}}
    study = {**STUDY, "variables": variables, "privacy": {"min_sites": 3}}
    (place / "study.toml").write_text(tomli_w.dumps(study))
    set_rows(place, with_cell("age", "1e308"))
    refused(
        place,
        capsys,
        [*simulate(place), "--steps", "discovery"],
        "south:age: beyond 2^40",
    )


def test_of_many_errors_the_first_are_shown(place, capsys):
    names = [f"s{i:03d}" for i in range(180)]
    set_rows(place, ROWS.assign(site=names))
    refused(place, capsys, simulate(place), "s000: expected at least 2 rows", "and 164 more")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "rows.csv: the file is empty"),
        (None, "rows.csv: there is no such file"),
        (b"age,\xff\xfe\n1,2\n", "rows.csv: expected UTF-8 text"),
        (b"age,site\n1\n2,3,4\n", "rows.csv: the file cannot be read"),
        (gzip.compress(b"age", mtime=0), "rows.csv: "),
    ],
)
@pytest.mark.parametrize("command", ["simulate", "infer", "counterfactual"])
def test_a_data_file_that_cannot_be_read(place, capsys, command, content, fragment):
    (place / "rows.csv").unlink()
    if content is not None:
        (place / "rows.csv").write_bytes(content)
    data, out = str(place / "rows.csv"), str(place / "out.toml")
    arguments = {
        "simulate": simulate(place),
        "infer": ["study", "infer", data, "--site-column", "site", "--out", out],
        "counterfactual": ["model", "counterfactual", "none", "--data", data, "--do", "age=50"],
    }[command]
    refused(place, capsys, arguments, fragment)


def test_more_features_than_records_is_told_with_both_numbers(place, capsys):
    many = {f"m{k:02d}": {"kind": "continuous", "bounds": [-9, 9]} for k in range(20)}
    study = {"variables": many, "discovery": STUDY["discovery"]}
    (place / "study.toml").write_text(tomli_w.dumps(study))
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(21, 20)), columns=list(many))
    set_rows(place, rows.clip(-9, 9).assign(site=np.repeat(["north", "south", "west"], 7)))
    policy = place / "policy.toml"
    policy.write_text(
        "[policy]\nmin_rows = 2\nmax_parameters_per_row = 1000\nmax_numbers_per_value = 1000\n"
    )
    arguments = simulate(place, "--policy", str(policy), "--steps", "discovery")
    fragments = ("expected more records than features, got 18", "for 20; let more sites join")
    check_refused(arguments, capsys, *fragments)


def test_one_constant_site_is_named_and_the_study_runs(place, capsys):
    rows = ROWS.copy()
    rows.loc[rows["site"] == "south", "dose"] = 5.0
    set_rows(place, rows)
    assert main(simulate(place, "--steps", "discovery")) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["south"]
    assert shown[1].split() == ["dose", "constant"]
    assert (place / "run" / "result.json").is_file()
    assert not list(place.glob(".fedcausal-*"))


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (["--engine", "spark"], ["engine: expected one of inprocess, ray, got 'spark'"]),
        (["--steps", "nonsense"], ["steps: expected some of discovery, model, effects"]),
        (["--steps", ""], ["steps: expected some of discovery, model, effects"]),
        (["--seed", "x"], ["--seed"]),
        (["--seed", "-1"], ["--seed"]),
        (["--policy", "none.toml"], ["--policy none.toml: the file cannot be read"]),
        (["--site-column", "sit"], ["rows.csv:sit: there is no site column", "mean 'site'"]),
        (["--site-column", "sex"], ["privacy.min_sites: expected 3 sites or more, got 2"]),
        (["--no-such-option"], ["--no-such-option"]),
        (["--data", "rows.xlsx"], ["rows.xlsx: there is no such file"]),
    ],
)
def test_faulty_options(place, capsys, options, fragments):
    refused(place, capsys, simulate(place, *options), *fragments)


@pytest.mark.parametrize("number", ["2", "0", "-1", "91", "1000000000000"])
def test_a_faulty_number_of_sites(place, capsys, number):
    arguments = simulate(place, sites=("--sites", number))
    refused(place, capsys, arguments, f"--sites {number}: expected 3 to 90 sites")


def test_sites_must_be_named_or_counted(place, capsys):
    refused(place, capsys, simulate(place, sites=()), "--site-column: ", "--sites N")


@pytest.mark.parametrize(
    ("policy", "fragment"),
    [
        ("[[[", "not valid TOML"),
        ("min_row = 3", "min_row: unknown key; did you mean 'min_rows'"),
        ("[policy]\nmin_rows = 'a'", "min_rows: expected a whole number"),
        ("policy = 3", "expected a table [policy]"),
        ("[policy]\napproved = ['abc']", "approved: expected hashes"),
    ],
)
def test_a_faulty_policy(place, capsys, policy, fragment):
    path = place / "policy.toml"
    path.write_text(policy)
    refused(place, capsys, simulate(place, "--policy", str(path)), "policy.toml: ", fragment)


def test_a_refusal_by_policy_is_a_failure_of_the_run(place, capsys):
    path = place / "policy.toml"
    path.write_text("[policy]\nmin_rows = 100\n")
    arguments = simulate(place, "--policy", str(path))
    refused(place, capsys, arguments, "north: too-few-rows: ", "policy.min_rows", exit_code=1)


def test_a_folder_in_use_stays_as_it_is(place, capsys):
    (place / "run").mkdir()
    (place / "run" / "mine.txt").write_text("keep")
    check_refused(simulate(place), capsys, "--out ", "expected a new or an empty folder")
    assert [path.name for path in (place / "run").iterdir()] == ["mine.txt"]
    assert not list(place.glob(".fedcausal-*"))


@pytest.mark.parametrize(
    ("column", "out", "fragment"),
    [
        ("hospital", "new.toml", "rows.csv:hospital: there is no site column 'hospital'"),
        ("site", "study.toml", "the file exists; name another one"),
    ],
)
def test_faulty_inference(place, capsys, column, out, fragment):
    data, before = str(place / "rows.csv"), (place / "study.toml").read_text()
    arguments = ["study", "infer", data, "--site-column", column, "--out", str(place / out)]
    refused(place, capsys, arguments, fragment)
    assert (place / "study.toml").read_text() == before


@pytest.mark.parametrize("command", [["run", "show"], ["model", "sample"], ["model", "effect"]])
def test_a_run_that_is_not_there(place, capsys, monkeypatch, command):
    monkeypatch.chdir(place)
    refused(place, capsys, [*command, "nonsense"], "'nonsense'", "give a run folder")


JUNK = [None, 3, -1, 2.5, 1e308, float("inf"), float("nan"), "x", "", True, [], [[]], {}]
JUNK += [["a", 1], [["age"]], {"a": {"b": [1]}}, [{"treatment": 1}], "\x00", "dag { age }"]


def mutate(study, rng):
    """Delete, retype, misspell or bury one key, or two."""
    for _ in range(rng.choice([1, 1, 2])):
        section = study
        while True:
            if not section:
                break
            key = rng.choice(list(section) if isinstance(section, dict) else range(len(section)))
            if isinstance(section[key], dict | list) and rng.random() < 0.7:
                section = section[key]
                continue
            junk = copy.deepcopy(rng.choice(JUNK))
            kind = rng.choice(["delete", "junk", "typo", "nest"])
            if kind == "delete" or junk is None:
                section.pop(key)
            elif kind == "typo" and isinstance(section, dict):
                section[str(key)[:-1] + "q"] = section.pop(key)
            elif kind == "nest":
                section[key] = {"deep": junk}
            else:
                section[key] = junk
            break
    return study


@pytest.mark.parametrize("seed", range(250))
def test_no_mutation_of_a_study_ends_in_a_traceback(tmp_path, capsys, seed):
    study, path = mutate(copy.deepcopy(STUDY), random.Random(seed)), tmp_path / "study.toml"
    path.write_text(tomli_w.dumps(study))
    code, said = main(["study", "validate", str(path)]), capsys.readouterr()
    assert code in (0, 4)
    assert "Traceback" not in said.err
    assert (code == 0) == said.out.startswith(f"{path}: valid")
    assert code == 0 or said.err.startswith("error: study.toml: ")


SECRET = "Kanarie" + "nvogel"
SITE = {
    "site": {"name": "north", "role": "site"},
    "data": {
        "source": "csv",
        "path": "rows.csv",
        "version": "1",
        "site_column": "site",
        "site_value": "north",
    },
    "columns": {"age": "age", "pain": "pain"},
    "levels": {"pain": {"none": "no"}},
    "units": {"age": {"unit": "months", "factor": 1.0, "offset": 0.0}},
    "policy": {"min_rows": 5, "approve": "by_hash", "approved": ["ab" * 32], "allow": ["gram"]},
    "trust": {"south": "cd" * 32},
    "simulation": {"seed": 1},
}
SERVER = {
    **SITE,
    "data": {
        "source": "postgresql",
        "url": f"postgresql://reader@127.0.0.1:1/clinic?{SECRET}=1",
        "sql": f"SELECT * FROM patients WHERE name <> '{SECRET}'",  # noqa: S608
        "password_env": "FEDCAUSAL_NO_SUCH_VARIABLE",
        "timeout_seconds": 3,
    },
}


@pytest.mark.parametrize("seed", range(250))
def test_no_mutation_of_a_site_file_ends_in_a_traceback(place, capsys, seed):
    """A file's source is opened and read, a server's is never reached."""
    rng = random.Random(seed)
    site = mutate(copy.deepcopy(SERVER if seed % 3 == 0 else SITE), rng)
    (place / "site.toml").write_text(tomli_w.dumps(site))
    arguments = ["site", "data", "inspect", str(place / "study.toml"), "--home", str(place)]
    code, said = main(arguments), capsys.readouterr()
    assert code in (0, 4)
    assert "Traceback" not in said.err
    assert bool(said.err) == (not said.out)
    assert not said.err or said.err.startswith("error: ")
    # Address and query may hold what is nobody's business.
    assert SECRET not in said.err + said.out
