import numpy as np

from fedcausal.effects.aipw import nuisances
from fedcausal.effects.nuisance_error import nuisance_error
from fedcausal.model.gram_model import GramModel
from fedcausal.model.noisy_family_gram import NoisyFamilyGram


def with_noise(gram, noise):
    """An exact Gram as if it had been released with noise in its own features."""
    first = gram.family.basis.num_features
    return NoisyFamilyGram(
        gram=gram,
        matrix=np.eye(first),
        inner=gram.products[:first, :first],
        noise=noise,
        cross_noise=noise,
        node_noise=noise,
        unit=1.0,
    )


def error(walk, confounded, rows, noise):
    study = confounded.study()
    state = walk(study, confounded.sites(study, num_sites=3, rows_per_site=rows, seed=0))[-1]
    engine = GramModel(
        graph=state.discovery.model_dag(), schema=study.schema(), mechanisms=state.mechanisms
    )
    (influence,) = nuisances(study, engine, {}, seed=0)
    noisy = {name: with_noise(gram, noise) for name, gram in state.families.items()}
    return nuisance_error(study, influence, engine, noisy, seed=0)


def test_it_is_a_product_of_two_errors(walk, confounded):
    """With four times the rows both errors halve, and their product is a quarter."""
    few, many = (error(walk, confounded, rows, 0.0) for rows in (200, 800))
    assert 2.0 < few / many < 8.0
    assert many < 0.1 / np.sqrt(2400)


def test_noise_makes_it_larger(walk, confounded):
    assert error(walk, confounded, 400, 40.0) > 1.5 * error(walk, confounded, 400, 0.0)
