"""The same sum over plain integers: what a secure sum must equal, entry by entry."""

from collections.abc import Sequence

import numpy as np

from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.fixed_point import check_contribution
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["plain_sum"]


def plain_sum(vectors: Sequence[IntVector], spec: StatisticSpec) -> Released:
    """Add the sites' vectors in the clear, with the checks and the cell rule of a secure sum.

    Privacy: none. For tests, and for studies of data that one party holds anyway.

    >>> spec = StatisticSpec(name="counts", length=2, bound=9, min_cell=3, counts=(0, 1))
    >>> plain_sum([np.array([1, 4]), np.array([1, 5])], spec).totals.tolist()
    [0, 9]
    """
    if not vectors:
        raise ProtocolError("a sum needs at least one vector")
    spec.check_range(len(vectors))
    for vector in vectors:
        check_contribution(vector, spec)
    return apply_cell_rule(np.sum(vectors, axis=0, dtype=np.int64), spec)
