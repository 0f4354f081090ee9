import pytest

from fedcausal.model.noisy_degrees import chosen_degrees, mean_error, nominal_scales
from fedcausal.model.noisy_families import noisy_families_request, noisy_layouts
from fedcausal.study import Study

EDGES = [("a", "y"), ("b", "y"), ("y", "k")]
NODES = ("a", "b", "k", "y")


def study(epsilon=3.0, degree=3):
    return Study.model_validate(
        {
            "variables": {
                "a": {"kind": "continuous", "bounds": [-4, 4]},
                "b": {"kind": "continuous", "bounds": [-4, 4]},
                "k": {"kind": "binary"},
                "y": {"kind": "continuous", "bounds": [-8, 8]},
            },
            "model": {"family": "gram", "degree": degree},
            "privacy": {"model": {"epsilon": epsilon}},
        }
    )


def degrees(epsilon, num_records, degree=3):
    found = study(epsilon, degree)
    return chosen_degrees(
        found,
        EDGES,
        NODES,
        scales=nominal_scales(found),
        num_records=num_records,
        num_sites=4,
    )


def test_the_budget_and_the_records_choose_the_degree():
    assert degrees(8.0, 1e6)["y"] == 3
    assert degrees(0.1, 2000)["y"] == 1
    chosen = [degrees(3.0, 1e4)["y"], degrees(8.0, 1e4)["y"], degrees(8.0, 1e6)["y"]]
    assert chosen == sorted(chosen)
    assert degrees(8.0, 1e6, degree=2)["y"] == 2


def test_a_node_without_parents_stays_at_degree_one():
    assert set(degrees(8.0, 1e6)) == set(NODES)


@pytest.mark.parametrize("degree", [1, 2])
def test_the_predicted_error_is_the_noise_over_the_records(degree):
    found = study()
    chosen = {"a": 1, "b": 1, "k": degree, "y": degree}
    request = noisy_families_request(EDGES, NODES, chosen, scales=nominal_scales(found))
    for layout in noisy_layouts(found, request):
        one, ten = mean_error(layout, 1.0, 1000.0), mean_error(layout, 1.0, 10_000.0)
        assert one == pytest.approx(10 * ten)
        assert (one > 0) == (layout.nominal.num_features > 0)
