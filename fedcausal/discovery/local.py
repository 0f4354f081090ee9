"""Discovery at each site, as a statistic: the sites vote on every pair of variables."""

from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.resampled_covariance import bootstrap_covariances
from fedcausal.discovery.votes import Ballot, Votes, num_entries, pair_votes
from fedcausal.errors import InputError, KnowledgeError, ProtocolError
from fedcausal.pdag import Pdag
from fedcausal.scores.independence import BlockTest
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["LocalVotes", "decode_votes"]


class LocalVotes:
    """PC on bootstraps of a site's own rows, counted per pair and kind of edge.

    Every site has the same weight, whatever its size. Privacy: the vector holds small integers
    (at most the number of bootstraps) about graphs, never about rows; with few sites a total can
    show which site saw which edge, so a site's policy allows or denies this statistic.
    """

    name: ClassVar[str] = "votes"
    part: ClassVar[Literal["graph"]] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """Six counts per pair of variables, each at most the number of bootstraps."""
        if len(study.schema()) < 2:
            raise InputError("discovery.votes: a vote needs two variables; write votes = false")
        return StatisticSpec(
            name=request.id(),
            length=num_entries(len(study.schema())),
            bound=study.discovery.vote_bootstraps,
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """Vote with one PC graph per bootstrap; a variable constant at the site joins nothing."""
        schema = study.schema()
        knowledge = study.knowledge_base()
        total = np.zeros((num_entries(len(schema)) // len(Ballot), len(Ballot)), dtype=np.int64)
        resamples = bootstrap_covariances(source, study.discovery.vote_bootstraps, rng)
        for statistics in resamples:
            if statistics is None:
                total += pair_votes(None, [], len(schema))
                continue
            names = tuple(sorted(statistics.names))
            test = BlockTest.from_covariance(statistics, names)
            pdag = _pattern(test, knowledge, study.discovery.alpha)
            places = [schema.index(name) for name in names]
            total += pair_votes(pdag, places, len(schema))
        return total.ravel()

    def width(self, study: Study, request: Request) -> int:
        """Zero: counts of graphs cannot be solved for rows."""
        return 0


def decode_votes(study: Study, request: Request, released: Released, num_sites: int) -> Votes:
    """Read the released total.

    Raises
    ------
    ProtocolError
        When the total does not hold one ballot per pair, bootstrap and site.
    """
    names = study.schema().names
    if request.kind != LocalVotes.name or released.totals.shape != (num_entries(len(names)),):
        raise ProtocolError("the released total is not one of votes on this study's variables")
    return Votes(
        names=names,
        counts=np.array(released.totals, dtype=np.int64).reshape(-1, len(Ballot)),
        num_ballots=num_sites * study.discovery.vote_bootstraps,
    )


def _pattern(test: BlockTest, knowledge: Knowledge, alpha: float) -> Pdag | None:
    """The PC graph of one resample; None where a required edge has lost an end here."""
    from fedcausal.discovery.pc import pc_pattern

    try:
        known = knowledge.restrict(test.names)
    except KnowledgeError:
        return None
    return pc_pattern(test, known, alpha).pdag
