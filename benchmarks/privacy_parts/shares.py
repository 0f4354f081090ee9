"""What it costs that noise is drawn in shares by the sites, against noise drawn in one place.

python benchmarks/privacy_parts/shares.py [--quick]

The same studies twice, with the noise of one place (nobody colludes, so that the shares add up to
exactly the noise of the mechanism) and with shares that tolerate a quarter of the sites. The error
is the root mean square difference of the products, per record, from the noiseless clipped ones.
"""

import argparse
import math
import sys

import numpy as np
from private_studies import Drawn, draw, study_of

from fedcausal.data.table import Table
from fedcausal.statistics.noisy_gram_kind import (
    NoisyGramKind,
    noisy_gram_release,
    noisy_gram_request,
)
from fedcausal.statistics.scale_kind import ReleasedScales
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.dp.integer_noise import IntegerNoise, discrete_gaussian
from fedcausal_privacy.statistic_spec import IntVector

FIRST_SEED, REACH = 7100, 1.25


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="5 studies")
    table(parser.parse_args().quick)


def table(quick: bool) -> None:
    """Errors of both and their ratio, per number of sites."""
    count = 5 if quick else 20
    _say(f"shares: {count} studies each, d=10, n=5000, eps 1, seeds from {FIRST_SEED}")
    _say(f"{'K':>4}{'colluding':>10}{'central':>10}{'shares':>9}{'ratio':>7}{'law':>7}  reached")
    for num_sites in (5, 10, 20):
        central, shares, colluding = 0.0, 0.0, 0
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            drawn = draw(10, 5000, seed, num_sites)
            central += _error(drawn, study_of(drawn, 1.0, colluding_sites=0)) / count
            shares += _error(drawn, study_of(drawn, 1.0)) / count
        colluding = math.ceil(num_sites / 4)
        ratio = math.sqrt(shares / central)
        law = math.sqrt(num_sites / (num_sites - colluding))
        verdict = "" if num_sites != 10 else ("yes" if ratio <= REACH else "NO")
        _say(
            f"{num_sites:>4}{colluding:>10}{math.sqrt(central):>10.5f}{math.sqrt(shares):>9.5f}"
            f"{ratio:>7.3f}{law:>7.3f}  {verdict}{' (reach <= 1.25)' if verdict else ''}"
        )


def _error(drawn: Drawn, study: Study) -> float:
    """Mean squared error of the off-diagonal products per record."""
    pooled = Study.model_validate({**study.to_json(), "discovery": {"site_effects": "pool"}})
    scales = dict.fromkeys(drawn.bounds, (0.0, 0.07))
    number = len(drawn.sites)
    request = noisy_gram_request(pooled, ReleasedScales(scales=scales, num_records=1.0), number)

    def products(noise: IntegerNoise) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        kind = NoisyGramKind()
        vectors = [
            kind.compute_private(
                pooled, request, Table(pooled.schema(), rows), num_sites=number, noise=noise
            )
            for rows in drawn.sites
        ]
        released = apply_cell_rule(np.sum(vectors, axis=0), kind.spec(pooled, request, number))
        return noisy_gram_release(pooled, request, released, number).products / 5000

    gap = products(discrete_gaussian) - products(_silence)
    return float(np.mean(gap[np.triu_indices(len(gap), 1)] ** 2))


def _silence(scales: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> IntVector:
    return np.zeros(scales.size, dtype=np.int64)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
