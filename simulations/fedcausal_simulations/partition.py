"""Deal rows out to sites at random, the same way for the same seed."""

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.errors import InputError

__all__ = ["partition_rows"]


def partition_rows(num_rows: int, num_sites: int, *, seed: int) -> dict[str, NDArray[np.int64]]:
    """Row numbers of each of `num_sites` sites: a random partition into nearly equal parts.

    Every row goes to exactly one site; sizes differ by at most one. Sites are called `site_1`,
    `site_2`, ... with as many digits as the largest number has, so that names sort as numbers.

    >>> {name: len(rows) for name, rows in partition_rows(10, 3, seed=0).items()}
    {'site_1': 4, 'site_2': 3, 'site_3': 3}
    """
    if num_sites < 1 or num_rows < num_sites:
        raise InputError(
            f"expected at least one row for every site, got {num_rows} rows for {num_sites} "
            f"sites; write --sites {max(1, num_rows)} or fewer"
        )
    order = np.random.default_rng(seed).permutation(num_rows)
    digits = len(str(num_sites))
    return {
        f"site_{i + 1:0{digits}d}": np.sort(part).astype(np.int64)
        for i, part in enumerate(np.array_split(order, num_sites))
    }
