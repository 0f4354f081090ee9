import pytest

from fedcausal.statistics.derive import kind_of
from fedcausal.steps.state import STEPS
from fedcausal_privacy.dp.accountant import epsilon_of

BOTH = {"effects": {"epsilon": 3.0}, "model": {"epsilon": 2.0}}


def asked(states):
    return [sorted(request.kind for request in state.requests) for state in states]


def test_exact_sums_are_asked_for_together(walk, confounded):
    study = confounded.study()
    sites = confounded.sites(study, num_sites=3, rows_per_site=200, seed=0)
    states = walk(study, sites)
    assert asked(states) == [
        ["effect_patterns"],
        ["margins"],
        ["families"],
        ["aipw", "residuals"],
        [],
    ]
    assert states[-1].second_estimates[0].q is None


def test_no_effects_no_second_estimate(walk, confounded):
    study = confounded.study()
    sites = confounded.sites(study, num_sites=3, rows_per_site=200, seed=0)
    states = walk(study, sites, steps=STEPS[:2])
    assert asked(states) == [["effect_patterns"], ["margins"], ["families"], ["residuals"], []]


def test_sites_are_compared_where_the_study_says_so(walk, confounded):
    study = confounded.study(
        discovery={"site_effects": "pool", "votes": False, "heterogeneity": True}
    )
    sites = confounded.sites(study, num_sites=8, rows_per_site=300, seed=0)
    states = walk(study, sites)
    assert ["aipw", "aipw_sites", "residuals"] in asked(states)
    found = states[-1].second_estimates[0]
    assert found.num_sites == 8
    assert 0.0 <= found.i_squared <= 1.0


@pytest.mark.parametrize(
    ("family", "privacy", "kinds"),
    [
        (
            "gram",
            {"effects": {"epsilon": 3.0}},
            ["effect_scale", "effect_families", "noisy_residuals", "noisy_aipw"],
        ),
        ("gram", BOTH, ["model_scale", "noisy_families", "noisy_aipw"]),
        ("auto", BOTH, ["model_scale", "noisy_families", "noisy_aipw"]),
    ],
)
def test_effects_under_an_epsilon_cost_what_they_say(
    seeded_noise, confounded, family, privacy, kinds
):
    """Everything that is charged to the effects, together, is within their epsilon."""
    study = confounded.study(privacy=privacy, model={"family": family, "degree": 2})
    sites = confounded.sites(study, num_sites=5, rows_per_site=400, seed=0)
    seen = []

    def noise(scales):
        return seeded_noise(len(seen))(scales)

    from fedcausal.protocol import start, step
    from fedcausal.statistics.derive import derive_spec
    from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

    state, events = start(study, 5, 0), []
    while not state.done:
        totals = {}
        for request in state.requests:
            kind, spec = kind_of(request), derive_spec(study, request, 5)
            vectors = [
                kind.compute_private(study, request, site, num_sites=5, noise=noise)
                for site in sites
            ]
            seen.append(request.kind)
            events += [kind.event(study, request)] * (kind.part == "effects")
            totals[request.id()] = apply_cell_rule(sum(vectors), spec)
        state = step(state, totals)
    assert seen == kinds
    assert 2.8 < epsilon_of(events, study.privacy.delta) <= 3.0
    found = state.second_estimates[0]
    assert found.noise > 0
    assert found.interval[0] < confounded.effect + 1 < found.interval[1] + 2


def test_a_noised_model_answers_effects_for_nothing(walk, noisy_walk, seeded_noise, confounded):
    study = confounded.study(privacy={"model": {"epsilon": 3.0}})
    sites = confounded.sites(study, num_sites=5, rows_per_site=400, seed=0)
    state = noisy_walk(study, sites, seeded_noise())
    assert {name.partition("-")[0] for name in state.digests} == {
        "model_scale",
        "noisy_families",
    }
    assert state.second_estimates == {}
