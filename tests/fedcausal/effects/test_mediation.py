from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fedcausal.effects.mediation import controlled_effect, mediate, path_effect
from fedcausal.errors import IdentificationError, InputError
from fedcausal.graph import Graph
from fedcausal.study import Study

EDGES = [("a", "x"), ("a", "y"), ("x", "m"), ("x", "w"), ("m", "w"), ("w", "y"), ("x", "y")]
SLOPES = {
    ("a", "x"): 0.7, ("a", "y"): -1.0, ("x", "m"): 0.8, ("x", "w"): 0.5, ("m", "w"): -0.4,
    ("w", "y"): 1.5, ("x", "y"): 0.6,
}  # fmt: skip


@pytest.fixture(scope="module")
def linear(as_table, federated_fit):
    variables = {n: {"kind": "continuous", "bounds": [-30.0, 30.0]} for n in "amwxy"}
    study = Study.model_validate({"variables": variables, "model": {"degree": 1}})
    rng = np.random.default_rng(0)
    sites = []
    for _ in range(3):
        columns = {}
        for node in "axmwy":
            parts = [s * columns[p] for (p, c), s in SLOPES.items() if c == node]
            columns[node] = sum(parts, np.zeros(2000)) + rng.normal(size=2000)
        sites.append(as_table(study, columns))
    return federated_fit(study, EDGES, sites)


def slope(fit, a, b):
    mechanism = fit.mechanisms[b]
    labels = [mechanism.family.basis.label(i) for i in range(len(mechanism.coefficients) - 1)]
    return dict(zip(labels, mechanism.coefficients[1:], strict=True))[a]


def along(fit, path):
    return np.prod([slope(fit, a, b) for a, b in pairwise(path)])


def test_natural_effects_of_a_linear_model_are_sums_over_paths(linear):
    found = mediate(linear.model, "x", "y", (0.0, 2.0))
    through = along(linear, "xwy") + along(linear, "xmwy")
    assert found.mediators == ("m", "w")
    assert found.direct == pytest.approx(2 * along(linear, "xy"), abs=1e-9)
    assert found.indirect == pytest.approx(2 * through, abs=1e-9)
    assert found.total == pytest.approx(found.direct + found.indirect, abs=1e-9)
    assert found.to_json()["mediators"] == ["m", "w"]
    assert "while m, w stay as they were (direct)" in found.sentence


@pytest.mark.parametrize("mediators", [None, ["pressure"], []])
def test_the_total_is_the_direct_less_the_reversed_indirect_effect(mixed_fit, mediators):
    found = mediate(mixed_fit.model, "drug", "status", ("0", "1"), mediators=mediators)
    assert found.total == pytest.approx(found.direct - found.reversed_indirect, abs=1e-12)
    if mediators == []:
        assert (found.indirect, found.direct) == (0.0, found.total)


def test_one_of_two_mediators(linear):
    found = mediate(linear.model, "x", "y", (0.0, 1.0), mediators=["m"])
    assert found.indirect == pytest.approx(along(linear, "xmwy"), abs=1e-9)


def test_the_controlled_effect_holds_the_mediator(linear, mixed_fit):
    found, error = controlled_effect(linear.model, "x", "y", (0.0, 1.0), held={"w": 3.0})
    assert found == pytest.approx(along(linear, "xy"), abs=1e-9)
    assert error == pytest.approx(0.0, abs=1e-9)
    both = controlled_effect(linear.model, "a", "y", (0.0, 1.0), held={"x": 1.0, "w": 0.0})
    assert both[0] == pytest.approx(along(linear, "ay"), abs=1e-9)
    level, _ = controlled_effect(
        mixed_fit.model, "drug", "status", ("0", "1"), held={"pressure": 2.0}
    )
    assert -0.2 < level < 0.0


def test_path_effects_are_products_and_add_up(linear):
    paths = ["xy", "xwy", "xmwy"]
    parts = [path_effect(linear.model, (0.0, 1.0), [path])[0] for path in paths]
    for path, part in zip(paths, parts, strict=True):
        assert part == pytest.approx(along(linear, path), abs=1e-9)
    total, _ = path_effect(linear.model, (0.0, 1.0), paths)
    assert total == pytest.approx(mediate(linear.model, "x", "y", (0.0, 1.0)).total, abs=1e-9)


def test_all_paths_together_are_the_effect_with_levels_too(mixed_fit):
    paths = [("drug", "status"), ("drug", "pressure", "status")]
    found, error = path_effect(mixed_fit.model, ("0", "1"), paths)
    total = mediate(mixed_fit.model, "drug", "status", ("0", "1")).total
    assert found == pytest.approx(total, abs=1e-12)
    assert 0 < error < 0.05


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "one path or more"),
        (["x"], "two variables or more"),
        (["xy", "ay"], "between the same two"),
        (["xay"], "x -> a is no edge"),
        (["xqy"], "q -> y is no edge|x -> q is no edge"),
        (["xwy", "xy", "xmwy"], None),
    ],
)
def test_paths_are_checked(linear, paths, message):
    if message is None:
        path_effect(linear.model, (0.0, 1.0), paths, samples=50)
        return
    with pytest.raises(InputError, match=message):
        path_effect(linear.model, (0.0, 1.0), paths)


def test_edges_that_make_up_another_path_are_refused(as_table, federated_fit):
    variables = {n: {"kind": "continuous", "bounds": [-9.0, 9.0]} for n in "mpqsy"}
    study = Study.model_validate({"variables": variables, "model": {"degree": 1}})
    rng = np.random.default_rng(1)
    sites = [as_table(study, {n: rng.uniform(-9, 9, 60) for n in "mpqsy"}) for _ in range(3)]
    edges = [tuple(edge) for edge in ("sp", "sm", "pm", "mq", "my", "qy")]
    model = federated_fit(study, edges, sites).model
    with pytest.raises(InputError, match=r"make up s -> (m|p -> m -> q) -> y as well"):
        path_effect(model, (0.0, 1.0), ["spmy", "smqy"])
    every, _ = path_effect(model, (0.0, 1.0), ["spmy", "smqy", "smy", "spmqy"])
    assert every == pytest.approx(mediate(model, "s", "y", (0.0, 1.0)).total, abs=1e-9)


def test_what_is_no_mediator_is_refused(linear):
    with pytest.raises(InputError, match="'a' is on no directed path from 'x' to 'y'"):
        mediate(linear.model, "x", "y", (0.0, 1.0), mediators=["a"])
    with pytest.raises(InputError, match="held: 'q'"):
        controlled_effect(linear.model, "x", "y", (0.0, 1.0), held={"q": 1.0})
    with pytest.raises(InputError, match="held: 'y'"):
        controlled_effect(linear.model, "x", "y", (0.0, 1.0), held={"y": 1.0})


def open_at(fit, *pairs):
    """The model, where the data leave some directions open."""
    directed = [e for e in fit.model.graph.directed_edges if e not in pairs]
    learnt = Graph.cpdag(fit.model.graph.nodes, directed=directed, undirected=pairs)
    return replace(fit.model, learnt=learnt)


def test_no_effect_of_a_class_is_split(linear):
    model = open_at(linear, ("a", "x"))
    with pytest.raises(IdentificationError, match=r"mediation: Not one number: .* a -- x open"):
        mediate(model, "a", "y", (0.0, 1.0))
    with pytest.raises(
        IdentificationError, match="effect along paths is no one number here: a ->"
    ):
        path_effect(model, (0.0, 1.0), ["axy"])
    with pytest.raises(IdentificationError, match="controlled effect is no one number here: a ->"):
        controlled_effect(model, "x", "y", (0.0, 1.0), held={"w": 3.0})
    assert path_effect(model, (0.0, 1.0), ["wy"])[0] == pytest.approx(along(linear, "wy"))


def test_a_direction_between_mediators_that_is_open_is_said(linear):
    found = mediate(open_at(linear, ("m", "w")), "x", "y", (0.0, 1.0))
    assert [text[:8] for text in found.warnings] == ["m -> w: "]
    assert found.to_json()["warnings"] == list(found.warnings)
    assert mediate(linear.model, "x", "y", (0.0, 1.0)).warnings == ()


def test_the_sentence_has_the_errors_and_counts_its_mediators(linear, mixed_fit):
    one = mediate(linear.model, "x", "y", (0.0, 1.0), mediators=["m"])
    assert "while m stays as it was (direct)" in one.sentence
    assert "needs it to change as well; its change alone does" in one.sentence
    none = mediate(linear.model, "x", "y", (0.0, 1.0), mediators=[])
    assert "all comes about directly: no mediator" in none.sentence
    share = mediate(mixed_fit.model, "drug", "status", ("0", "1"))
    assert "in the probability of status = dead" in share.sentence
    assert f"(+- {100 * share.errors[0]:.3g} percentage points)" in share.sentence
