"""What no rows can give: public bounds that every honest sum keeps, a site's own or a total."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fedcausal.errors import DataError
from fedcausal.robust.moments import Moments, moments_of
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import PrivateKind, Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["broken_bound", "check_totals"]

EIGENVALUE_TOLERANCE = 1e-6
RELATIVE = 1e-9


def broken_bound(
    study: Study,
    request: Request,
    spec: StatisticSpec,
    vector: IntVector,
    *,
    num_sites: int = 1,
    is_whole: bool = True,
) -> str:
    """The first public bound that a vector breaks, in words; empty when it keeps all.

    Parameters
    ----------
    vector
        The sum over `num_sites` sites.
    is_whole
        Whether no entry was withheld: matrices are looked at only then.

    Counts are between 0 and the most rows that a site may have; a column's sum is no more than
    its records allow; squares are not negative; products keep the inequality of Cauchy and
    Schwarz; a matrix over the same records has no negative eigenvalue.
    """
    rows = num_sites * max_rows_per_site(study, max(num_sites, study.privacy.min_sites))
    counts = vector[list(spec.counts)]
    if np.any(np.abs(vector) > num_sites * spec.bound):
        return "a number is larger than the study's bounds allow"
    if np.any(counts < 0):
        return "a number of records is negative"
    if np.any(counts > rows):
        return f"a number of records is above {rows} (privacy.max_rows)"
    presence = vector[list(spec.presence)]
    if np.any((presence < 0) | (presence > num_sites)):
        return "a number of sites is not one"
    if not is_whole:
        return ""
    found = (_broken_matrix(m, num_sites) for m in moments_of(study, request, vector))
    return next((words for words in found if words), "")


def check_totals(
    study: Study, requests: Sequence[Request], released: Mapping[str, Released], num_sites: int
) -> None:
    """Refuse totals that no rows can have given, before anything is learnt from them.

    Sums with noise are left out: noise keeps no bound. Whose part is wrong cannot be told from a
    total.

    Raises
    ------
    DataError
        A total breaks a public bound; the message says which.
    """
    for request in _exact(study, requests):
        total, spec = released[request.id()], derive_spec(study, request, num_sites)
        if len(total.totals) != spec.length:
            continue  # the kind's own reader refuses it
        words = broken_bound(
            study,
            request,
            spec,
            np.where(total.withheld, 0, total.totals),
            num_sites=num_sites,
            is_whole=not total.withheld.any(),
        )
        if words:
            raise DataError(
                f"the total of {request.kind} is none that rows can give: {words}. A site sent "
                "wrong numbers, and a sum does not show which; nothing was learnt from it. "
                "Compare the sites' versions and data, or let the sites agree to "
                "[federation] robust, which names it"
            )


def _exact(study: Study, requests: Sequence[Request]) -> Iterator[Request]:
    for request in requests:
        kind = kind_of(request)
        if not isinstance(kind, PrivateKind) and getattr(study.privacy, kind.part) is None:
            yield request


def _broken_matrix(found: Moments, num_sites: int) -> str:
    slack = num_sites * found.grid
    if np.any(np.abs(found.sums) > found.sum_limits * (1 + RELATIVE) + 1):
        return f"a sum of {found.name} is more than its records allow"
    squares = np.diag(found.products)
    if np.any(squares < -slack):
        return f"a sum of squares of {found.name} is negative"
    if np.any(squares > found.square_limits * (1 + RELATIVE) + slack):
        return f"a sum of squares of {found.name} is more than its records allow"
    # Squares are rounded too: of a column that hardly varies, their rounding is what counts.
    rounded = slack * np.add.outer(np.maximum(squares, 0.0), np.maximum(squares, 0.0)) + slack**2
    norms = np.sqrt(found.norms**2 + rounded)
    if np.any(np.abs(found.products) > norms * (1 + RELATIVE) + slack):
        return f"a product of {found.name} is more than its squares allow"
    varying = squares > 1e3 * len(squares) * slack
    if not found.is_complete or not varying.any():
        return ""
    roots = np.sqrt(squares[varying])
    correlation = found.products[np.ix_(varying, varying)] / np.outer(roots, roots)
    rounding = len(roots) * slack / float(roots.min()) ** 2
    if np.linalg.eigvalsh(correlation)[0] < -EIGENVALUE_TOLERANCE - rounding:
        return f"the products of {found.name} are those of no data (a negative variance)"
    return ""
