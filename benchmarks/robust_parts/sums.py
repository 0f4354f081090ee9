"""Many small studies by their sums alone: which liars are found, and what is left of their harm.

Ten sites of 100 to 500 rows, six variables, a linear model drawn anew each time; noise levels
differ between sites by a factor of exp(-s) to exp(s), means by 1. The effect is the slope of the
last variable on the first, which has no causes. Lies, each by 1, 2 or 3 sites that agree:

scaled      products ten times too large
flipped     the last variable's products with the other sign
labels      rows in which the last variable is negated
poisoned    rows of another model
counts      a fifth of the records claimed
shift t     the slope moved by t standard errors of one site (the worst lie is between 2 and 6)

Seed 2031; the limits were chosen on others.
"""

import numpy as np
from lines import Lines

from fedcausal.robust.distance import remoteness, weights

SIZE, NUM_SITES = 6, 10
LIES = ("scaled", "flipped", "labels", "poisoned", "counts")
SHIFTS = (2.0, 3.0, 4.0, 6.0, 10.0)


def table(quick: bool) -> bool:
    """Print the table; the named lies must stay below twice the error without a lie."""
    lines = Lines()
    for spread in (0.0, 0.2, 0.35):
        studies = [_Study(seed, spread) for seed in range(10 if quick else 40)]
        clean = _root([study.effect(study.products) - study.truth for study in studies])
        found = [study.kept(study.products, study.counts, 3) for study in studies]
        aside = np.mean([NUM_SITES - len(kept) for kept in found])
        lines.row(f"s = {spread:g}: honest sites set aside", f"{aside:.2f} of 10 a study")
        for lie in (*LIES, *(f"shift {t:g}" for t in SHIFTS)):
            for most in (1, 2, 3):
                off, on, named = _against(studies, lie, most)
                figure = f"off {off / clean:6.2f}  on {on / clean:5.2f}  named {named:4.0%}"
                is_bounded = not lie.startswith("shift")
                reach = ("on < 2", on < 2 * clean) if is_bounded else ("", None)
                lines.row(f"s = {spread:g}: {lie}, f = {most}", figure, *reach)
    return lines.holds


class _Study:
    def __init__(self, seed: int, spread: float) -> None:
        self.rng, self.spread = np.random.default_rng([2031, seed]), spread
        self.model = _model(self.rng)
        self.truth = np.linalg.inv(np.eye(SIZE) - self.model)[-1, 0]
        self.counts = self.rng.integers(100, 500, NUM_SITES)
        rows = [self.rows(self.model, n) for n in self.counts]
        self.products = np.array([_products(own) for own in rows])

    def rows(self, model: np.ndarray, number: int) -> np.ndarray:
        """Rows of one site: its own noise levels and means."""
        levels = np.exp(self.rng.uniform(-self.spread, self.spread, SIZE))
        noise = self.rng.normal(size=(number, SIZE)) * levels + self.rng.normal(size=SIZE)
        return noise @ np.linalg.inv(np.eye(SIZE) - model).T

    def lied(self, lie: str, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts and products when the first `most` sites tell this lie."""
        counts, products = self.counts.copy(), self.products.copy()
        shift = np.sqrt(products[0, -1, -1] / products[0, 0, 0] / counts[0])
        other = _model(self.rng)
        for site in range(most):
            turn = np.eye(SIZE)
            if lie == "scaled":
                products[site] *= 10
            elif lie == "counts":
                counts[site] //= 5
            elif lie == "poisoned":
                products[site] = _products(self.rows(other, counts[site]))
            elif lie == "labels":
                turn[-1, -1] = -1
                products[site] = turn @ _products(self.rows(self.model, counts[site])) @ turn.T
            elif lie == "flipped":
                turn[-1, -1] = -1
                products[site] = turn @ products[site] @ turn.T
            else:
                turn[-1, 0] = float(lie.split()[1]) * shift
                products[site] = turn @ products[site] @ turn.T
        return counts, products

    def kept(self, products: np.ndarray, counts: np.ndarray, most: int) -> np.ndarray:
        """The sites that the screen leaves: at most `most` of the farthest are out."""
        distance = remoteness([(counts, products)], most)
        apart = [k for k in np.argsort(-distance, kind="stable")[:most] if distance[k] > 1]
        return np.setdiff1d(np.arange(NUM_SITES), apart)

    def effect(self, products: np.ndarray) -> float:
        """The slope of the last variable on the first, in the sum of all."""
        total = products.sum(axis=0)
        return total[-1, 0] / total[0, 0]


def _against(studies: list[_Study], lie: str, most: int) -> tuple[float, float, float]:
    """Root mean square errors without and with the screen, and the share of liars it names."""
    off, on, named = [], [], []
    for study in studies:
        counts, products = study.lied(lie, most)
        kept = study.kept(products, counts, 3)
        weighed = products[kept] * weights(counts[kept])[:, None, None]
        off.append(study.effect(products) - study.truth)
        on.append(study.effect(weighed) - study.truth)
        named.append(np.mean([site not in kept for site in range(most)]))
    return _root(off), _root(on), float(np.mean(named))


def _model(rng: np.random.Generator) -> np.ndarray:
    """Lower triangular slopes of 0.4 to 0.9; the first variable acts on the last."""
    size = rng.uniform(0.4, 0.9, (SIZE, SIZE)) * rng.choice([-1, 1], (SIZE, SIZE))
    is_there = rng.random((SIZE, SIZE)) < 0.5
    is_there[-1, 0] = True
    return np.tril(size * is_there, -1)


def _products(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=0)
    return centred.T @ centred


def _root(errors: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))
