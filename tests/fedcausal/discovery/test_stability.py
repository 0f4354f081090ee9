"""Edge probabilities by resampling."""

import numpy as np

from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.stability import edge_probabilities, resample
from fedcausal.schema import Kind, Schema, Variable


def test_wishart_draws_have_the_law_of_sample_correlations(simulate):
    # The variance of a sample correlation r on n records is about (1 - r^2)^2 / n.
    statistics = simulate(4, seed=0, degree=3, num_rows=400).statistics
    rng = np.random.default_rng(0)
    draws = np.array([resample(statistics, rng).covariance for _ in range(3000)])
    r = statistics.covariance
    off = ~np.eye(4, dtype=bool)
    error = np.sqrt((1 - r**2) ** 2 / 399)
    # Mean within 5 standard errors (plus the bias, of order r / 2n); variance within 12 %.
    assert np.all(np.abs(draws.mean(axis=0) - r)[off] < (5 * error / np.sqrt(3000) + 1 / 399)[off])
    np.testing.assert_allclose(draws.std(axis=0)[off], error[off], rtol=0.12)


def test_few_records_still_give_positive_definite_draws(simulate):
    statistics = simulate(6, seed=0, num_rows=500).statistics
    few = type(statistics)(
        names=statistics.names,
        blocks=statistics.blocks,
        covariance=statistics.covariance,
        num_records=np.full((6, 6), 4.0),
    )
    drawn = resample(few, np.random.default_rng(0)).covariance
    assert np.linalg.eigvalsh(drawn)[0] > 0


def test_present_edges_are_certain_and_absent_ones_rare_on_average(simulate):
    study = simulate(6, seed=4, num_rows=3000)
    options = DiscoveryOptions(bootstrap=40)
    knowledge = Knowledge(nodes=study.statistics.names)
    sure = edge_probabilities(study.statistics, knowledge, options)
    graph = sure.annotate(discover(study.statistics, knowledge, options).graph)
    assert all(e.probability > 0.9 for e in graph.edges if study.dag.adjacent(e.source, e.target))
    present = study.dag.marks() > 0
    assert sure.adjacent[~present].mean() < 0.15
    np.testing.assert_allclose(sure.adjacent, sure.adjacent.T)
    assert sure.adjacent.max() <= 1.0


def test_the_same_seed_gives_the_same_shares(simulate):
    statistics = simulate(5, seed=1, widths=[1, 2, 1, 1, 1]).statistics
    knowledge = Knowledge(nodes=statistics.names)
    runs = [
        edge_probabilities(statistics, knowledge, DiscoveryOptions(bootstrap=10)) for _ in range(2)
    ]
    np.testing.assert_array_equal(runs[0].directed, runs[1].directed)
    assert runs[0].too_narrow == ("x01",)


def test_a_schema_names_binary_variables_as_too_narrow(simulate):
    statistics = simulate(2, seed=1).statistics
    schema = Schema(
        (
            Variable(name="x00", kind=Kind.CONTINUOUS),
            Variable(name="x01", kind=Kind.BINARY, categories=("0", "1")),
        )
    )
    knowledge = Knowledge(nodes=statistics.names)
    sure = edge_probabilities(statistics, knowledge, DiscoveryOptions(bootstrap=2), schema=schema)
    assert sure.too_narrow == ("x01",)


def test_the_marks_of_a_pag_have_probabilities(simulate):
    study = simulate(5, seed=2, num_rows=2000)
    options = DiscoveryOptions(algorithm="fci", bootstrap=20)
    knowledge = Knowledge(nodes=study.statistics.names)
    sure = edge_probabilities(study.statistics, knowledge, options)
    np.testing.assert_allclose(sure.marks.sum(axis=2), sure.adjacent)
    np.testing.assert_allclose(sure.adjacent, sure.adjacent.T)
    graph = sure.annotate(discover(study.statistics, knowledge, options).graph)
    for edge in graph.edges:
        assert edge.source_mark_probability <= edge.probability
        assert edge.target_mark_probability <= edge.probability
        assert edge.target_mark_probability == sure.mark_probability(
            edge.source, edge.target, edge.target_mark
        )


def test_marks_of_directed_edges_are_their_shares(simulate):
    study = simulate(5, seed=2)
    knowledge = Knowledge(nodes=study.statistics.names)
    sure = edge_probabilities(study.statistics, knowledge, DiscoveryOptions(bootstrap=10))
    np.testing.assert_allclose(sure.marks[:, :, 1], sure.directed)
    np.testing.assert_allclose(sure.marks[:, :, 0], sure.directed.T + sure.undirected)
    assert not sure.marks[:, :, 2].any()


def test_no_resamples_annotate_nothing(simulate):
    study = simulate(3, seed=0)
    knowledge = Knowledge(nodes=study.statistics.names)
    sure = edge_probabilities(study.statistics, knowledge, DiscoveryOptions(bootstrap=0))
    assert sure.annotate(study.dag) == study.dag


def test_replicates_take_the_place_of_draws(simulate):
    study = simulate(4, seed=2, num_rows=800)
    names, knowledge = study.statistics.names, Knowledge(nodes=study.statistics.names)
    rng = np.random.default_rng(0)
    replicates = [resample(study.statistics, rng) for _ in range(12)]
    sure = edge_probabilities(
        study.statistics, knowledge, DiscoveryOptions(bootstrap=99), replicates=replicates
    )
    assert (sure.num_resamples, sure.too_narrow) == (12, ())
    # A variable that did not vary in a replicate is joined to nothing in it.
    first = replicates[0]
    shorter = type(first)(
        names=names[:3],
        blocks={name: first.blocks[name] for name in names[:3]},
        covariance=first.covariance[:3, :3],
        num_records=first.num_records[:3, :3],
    )
    fewer = edge_probabilities(
        study.statistics, knowledge, DiscoveryOptions(), replicates=[shorter]
    )
    assert fewer.adjacent[3].sum() == 0.0
    required = Knowledge(nodes=names, required=((names[3], names[0]),))
    none = edge_probabilities(study.statistics, required, DiscoveryOptions(), replicates=[shorter])
    assert none.num_resamples == 0
