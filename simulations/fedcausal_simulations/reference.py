"""The analyst who may see every row: the same study with plain numbers, as an oracle.

One person with all rows and the same site labels centres each pair of variables within the
sites, adds up in floating point and learns the graph. Nothing here uses the Gram, its fixed
point, the masks or the encryption: agreement means that the federated road lost nothing.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.kept_records import COMPLETE, patterns_of
from fedcausal.data.sources import read_source, read_table
from fedcausal.data.table import Table
from fedcausal.discovery.local import LocalVotes
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import nearest_correlation
from fedcausal.schema import Schema
from fedcausal.statistics.kind import Request
from fedcausal.statistics.patterns_kind import (
    PatternsKind,
    candidate_patterns,
    common_patterns,
    pairs_request,
    patterns_request,
)
from fedcausal.statistics.records import with_list
from fedcausal.steps.graph import LearntGraph, discover_graph
from fedcausal.study import Study
from fedcausal_clients.site_node import simulated_generator
from fedcausal_privacy.secure_sum.oracle import plain_sum
from fedcausal_privacy.statistic_spec import Released
from fedcausal_simulations.workspace import site_names

__all__ = ["analyst_covariance", "analyst_graph", "same_edges"]

Matrix = NDArray[np.float64]


def analyst_graph(study: Study, tables: Mapping[str, Any], *, seed: int) -> LearntGraph:
    """The graph that one analyst with all rows and the site labels learns.

    Assumptions: `discovery.site_effects` is "center" or "pool", and no total is below
    `privacy.min_cell` (an analyst would not withhold it from himself). Records that the study
    leaves out for what they lack are left out here as well.
    """
    schema, names = study.schema(), site_names(list(tables))
    everybody = {
        names[site]: read_table(read_source(data, schema, site=site))
        for site, data in tables.items()
    }
    patterns = _common(study, list(everybody.values()))
    rows = {site: _taking_part(table, patterns) for site, table in everybody.items()}
    ballots = []
    if study.discovery.votes:
        kind, request = LocalVotes(), Request(kind=LocalVotes.name)
        # The same request as in a run, for a site's resampling depends on it.
        request = request if patterns is None else with_list(request, patterns)
        votes = [
            kind.compute(study, request, table, simulated_generator(seed, name, request))
            for name, table in sorted(rows.items())
        ]
        ballots.append((request, plain_sum(votes, kind.spec(study, request, len(rows)))))
    return discover_graph(
        study,
        analyst_covariance(study, rows),
        ballots=ballots,
        num_sites=len(rows),
        seed=seed,
    )


def _common(study: Study, tables: list[Table]) -> tuple[int, ...] | None:
    """The patterns of missing values in the study's exact sums, as its run finds them."""
    if study.privacy.incomplete == "drop":
        return None
    kind, pairs = PatternsKind(), None
    candidates = candidate_patterns(study, None)
    if candidates is None:
        pairs = pairs_request()
        candidates = candidate_patterns(study, (pairs, _counted(study, kind, pairs, tables)))
    request = patterns_request(candidates or ())
    return common_patterns(study, request, _counted(study, kind, request, tables))


def _counted(study: Study, kind: PatternsKind, request: Request, tables: list[Table]) -> Released:
    rng = np.random.default_rng(0)
    counts = [kind.compute(study, request, table, rng) for table in tables]
    return plain_sum(counts, kind.spec(study, request, len(tables)))


def _taking_part(table: Table, patterns: tuple[int, ...] | None) -> Table:
    """The records that have one of some patterns; complete ones without a list."""
    found, places = patterns_of(table)
    common = (COMPLETE,) if patterns is None else patterns
    return table.take(np.isin(places, [i for i, p in enumerate(found) if p in common]))


def analyst_covariance(study: Study, rows: Mapping[str, Table]) -> BlockCovariance:
    """Correlations of centred features, pair by pair over the records that have both."""
    mode = study.discovery.site_effects
    if mode == "standardize":
        raise InputError("the analyst's comparison knows site_effects center and pool only")
    schema = study.schema()
    groups = list(rows.values()) if mode == "center" else [Table.concatenate(list(rows.values()))]
    size = len(schema)
    first_levels = [0 if schema[name].is_numeric else 1 for name in schema.names]
    widths = [
        max(schema[n].num_levels, 1) - f for n, f in zip(schema.names, first_levels, strict=True)
    ]
    ends = np.cumsum([0, *widths])
    correlation, records = np.eye(int(ends[-1])), np.zeros((size, size))
    for i in range(size):
        for j in range(i, size):
            block, count = _pair(groups, schema, i, j, first_levels)
            correlation[ends[i] : ends[i + 1], ends[j] : ends[j + 1]] = block
            correlation[ends[j] : ends[j + 1], ends[i] : ends[i + 1]] = block.T
            records[i, j] = records[j, i] = count
    return BlockCovariance(
        names=schema.names,
        blocks={n: tuple(range(ends[i], ends[i + 1])) for i, n in enumerate(schema.names)},
        covariance=nearest_correlation(correlation),
        num_records=records,
        dropped=(),
    )


def same_edges(first: Graph, second: Graph) -> bool:
    """Whether two graphs have the same nodes, edges and marks, whatever their probabilities."""
    plain = [graph.with_probabilities(lambda _: None) for graph in (first, second)]
    return plain[0] == plain[1]


def _pair(
    groups: list[Table], schema: Schema, i: int, j: int, first_levels: list[int]
) -> tuple[Matrix, float]:
    """Correlations between the features of two variables, and their effective records."""
    products, left, right = 0.0, 0.0, 0.0
    count = 0
    for table in groups:
        columns = table.values[:, i], table.values[:, j]
        both = ~np.isnan(columns[0]) & ~np.isnan(columns[1])
        x, y = (
            _features(column[both], schema, k, first_levels[k])
            for column, k in zip(columns, (i, j), strict=True)
        )
        if not both.any() or np.ptp(columns[0][both]) == 0 or np.ptp(columns[1][both]) == 0:
            continue
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        products, left, right = products + x.T @ y, left + (x**2).sum(0), right + (y**2).sum(0)
        count += int(both.sum()) - 1
    found: Matrix = products / np.sqrt(np.outer(left, right))
    return found, float(count)


def _features(column: Matrix, schema: Schema, variable: int, first_level: int) -> Matrix:
    """(n, 1) numbers, or (n, L - 1) indicators without the first level."""
    if not first_level:
        return column[:, None]
    levels = np.arange(first_level, schema.variables[variable].num_levels)
    return np.equal(column[:, None], levels).astype(np.float64)
