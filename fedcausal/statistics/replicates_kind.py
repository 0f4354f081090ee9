"""The "replicates" statistic: Grams of bootstrap samples that each site draws in secret."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import Table, TableSource
from fedcausal.errors import DataError, InputError, ProtocolError
from fedcausal.moments.gram_totals import GramTotals
from fedcausal.schema import Schema
from fedcausal.statistics.gram_kind import GramKind, gram_release, max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import (
    CountTable,
    Guard,
    IntVector,
    Released,
    StatisticSpec,
)

__all__ = [
    "RELEASE_CAP",
    "ReplicatesKind",
    "most_replicates",
    "replicates_release",
    "replicates_request",
]

RELEASE_CAP = 0.33
"""Most released sums per value of a record, over all sites together."""

MAX_ENTRIES = 2**19
"""Entries of one vector: about 16 MB of ciphertexts from each site."""

MAX_DRAWS = 100
"""Attempts to draw a bootstrap sample that fits the study's public cap on rows."""


class ReplicatesKind:
    """The Gram of all rows once more, and of B Poisson bootstraps of them.

    Every row gets a weight of Poisson(1) in every replicate, from the site's own generator; means
    and scales are formed again from the weighted rows. Summed over sites, replicate b is the Gram
    of a bootstrap of the pooled rows, stratified by site.

    Privacy: the weights never leave the site. Two rules hold back what B sums about the same rows
    could reveal. A count that is withheld from the Gram of all rows is withheld, with all that
    depends on it, from every replicate. And the released sums stay fewer than the values behind
    them: (1 + B) x (sums of one Gram that are not counts) <= 0.33 x N x d, with N the records of
    all sites. N is the total that the study's Gram has released in the round before; it is a
    parameter of the request, coordinator and sites check the rule for it alike, and a site that
    has more rows than that refuses. A coordinator that overstates N breaks its promise: the
    request is in every site's journal, and the released total in everybody's report.

    References
    ----------
    Hanley and MacGibbon (2006), Creating non-parametric bootstrap samples using Poisson
    frequencies, Computer Methods and Programs in Biomedicine 83.
    """

    name: ClassVar[str] = "replicates"
    part: ClassVar[Literal["graph"]] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """1 + B Grams, one after another; counts of the first guard those of the others."""
        gram, num_replicates, num_records = _parts(request)
        if study.privacy.graph is not None:
            raise InputError(
                "discovery.resampling: replicates of the same rows have no private form; "
                'write resampling = "wishart" under privacy.graph.epsilon'
            )
        one = GramKind().spec(study, gram, num_sites)
        if num_replicates > _most(one, study, num_records):
            raise InputError(
                f"discovery.resampling: {num_replicates} replicates of {num_records} records "
                f"exceed the cap of {_most(one, study, num_records)}; ask for fewer"
            )
        return _repeated(one, request.id(), 1 + num_replicates)

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's Gram and its replicates; memory does not grow with the number of rows."""
        gram, num_replicates, num_records = _parts(request)
        cap = max_rows_per_site(study, study.privacy.min_sites)
        sizes = [batch.num_rows for batch in source.batches()]
        if sum(sizes) > num_records:
            raise DataError(
                f"expected a request about {sum(sizes)} records or more (the rows of one site), "
                f"got one about {num_records} of all sites; refuse the study"
            )
        kind = GramKind()
        vectors = [kind.compute(study, gram, source, rng)]
        for _ in range(num_replicates):
            sample = _Resampled(source, _seed(sizes, cap, rng))
            vectors.append(kind.compute(study, gram, sample, rng))
        return np.concatenate(vectors)

    def width(self, study: Study, request: Request) -> int:
        """Number of features of one Gram."""
        return GramKind().width(study, _parts(request)[0])


def most_replicates(study: Study, gram: Request, num_records: int, num_sites: int) -> int:
    """The largest B that the release cap allows for a released number of records."""
    return max(_most(GramKind().spec(study, gram, num_sites), study, num_records), 0)


def replicates_request(gram: Request, num_replicates: int, num_records: int) -> Request:
    """Ask for replicates of a Gram that has released its number of records."""
    return Request(
        kind=ReplicatesKind.name,
        parameters={
            "gram": gram.to_json(),
            "replicates": num_replicates,
            "records": num_records,
        },
    )


def replicates_release(
    study: Study, request: Request, released: Released, num_sites: int
) -> Iterator[GramTotals]:
    """Read the B replicates of a released total."""
    gram, num_replicates, _ = _parts(request)
    length, rest = divmod(released.totals.size, 1 + num_replicates)
    if rest:
        raise ProtocolError(f"expected {1 + num_replicates} Grams of one length")
    for start in range(length, released.totals.size, length):
        part = slice(start, start + length)
        one = Released(totals=released.totals[part], withheld=released.withheld[part])
        yield gram_release(study, gram, one, num_sites)


@dataclass(frozen=True)
class _Resampled:
    """A Poisson bootstrap of a source's rows, the same in every pass."""

    source: TableSource
    seed: int

    @property
    def schema(self) -> Schema:
        return self.source.schema

    def batches(self) -> Iterator[Table]:
        rng = np.random.default_rng(self.seed)
        for batch in self.source.batches():
            times = rng.poisson(1.0, batch.num_rows)
            if times.any():
                yield batch.take(np.repeat(np.arange(batch.num_rows), times))


def _seed(sizes: list[int], cap: int, rng: np.random.Generator) -> int:
    """Seed of a bootstrap sample whose number of rows the study allows."""
    for _ in range(MAX_DRAWS):
        seed = int(rng.integers(2**63))
        weights = np.random.default_rng(seed)
        if 2 <= sum(int(weights.poisson(1.0, size).sum()) for size in sizes) <= cap:
            return seed
    raise DataError(
        "the site has too few rows to resample, or as many as privacy.max_rows of the study "
        "allows; raise privacy.max_rows"
    )


def _most(one: StatisticSpec, study: Study, num_records: int) -> int:
    num_sums = one.length - len(one.counts)
    by_rows = RELEASE_CAP * num_records * len(study.schema()) / num_sums
    return min(int(by_rows), MAX_ENTRIES // one.length) - 1


def _repeated(one: StatisticSpec, name: str, times: int) -> StatisticSpec:
    starts = [k * one.length for k in range(times)]
    linked = tuple(
        Guard(count=count, dependents=tuple(count + start for start in starts[1:]))
        for count in sorted(
            {*one.counts, *one.presence, *(i for t in one.tables for i in t.cells)}
        )
    )
    return replace(
        one,
        name=name,
        length=one.length * times,
        counts=tuple(i + start for start in starts for i in one.counts),
        presence=tuple(i + start for start in starts for i in one.presence),
        tables=tuple(
            CountTable(cells=tuple(i + start for i in t.cells), shape=t.shape)
            for start in starts
            for t in one.tables
        ),
        guards=(
            *(
                Guard(count=g.count + start, dependents=tuple(i + start for i in g.dependents))
                for start in starts
                for g in one.guards
            ),
            *(linked if times > 1 else ()),
        ),
    )


def _parts(request: Request) -> tuple[Request, int, int]:
    numbers = [request.parameters.get(key) for key in ("replicates", "records")]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in numbers):
        raise ProtocolError("a request for replicates says how many, of how many records")
    num_replicates, num_records = (int(str(n)) for n in numbers)
    return Request.from_json(request.parameters.get("gram")), num_replicates, num_records
