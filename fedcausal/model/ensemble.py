"""Several trained flows over one graph as one model, whose spread says how sure it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from fedcausal.model.engine import Columns, CounterfactualColumns, Doing
from fedcausal.model.mechanics import Mechanics
from fedcausal.model.nodeflow_model import NodeFlowModel

__all__ = ["EnsembleMechanics", "EnsembleModel", "spread_between"]

FloatArray = NDArray[np.float64]
Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnsembleModel:
    """An engine of several flows, each trained on its own bootstrap of the sites' rows.

    Records are drawn from the members in equal shares; a density is the mean of the members', and
    so is a counterfactual. Effects carry the spread between the members in their interval.

    References
    ----------
    Lakshminarayanan et al. (2017), arXiv:1612.01474 (deep ensembles).
    """

    members: tuple[NodeFlowModel, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes, in the order of the members' columns."""
        return self.members[0].names

    def mechanics(self) -> "EnsembleMechanics":
        """The same model node by node."""
        return EnsembleMechanics(members=tuple(m.mechanics() for m in self.members))

    def on(self, device: str) -> "EnsembleModel":
        """The same members, answering on a device."""
        return EnsembleModel(members=tuple(m.on(device) for m in self.members))

    def sample(
        self, num_records: int, *, do: Mapping[str, float], rng: np.random.Generator
    ) -> Columns:
        """Draw records under do(), the first ones from the first member and so on."""
        sizes = [len(part) for part in _shares(num_records, len(self.members))]
        drawn = [
            member.sample(size, do=do, rng=rng)
            for member, size in zip(self.members, sizes, strict=True)
            if size
        ]
        return _joined(drawn)

    def log_prob(self, columns: Mapping[str, FloatArray]) -> Columns:
        """Log of the members' mean density or probability of every node given its parents."""
        found = [member.log_prob(columns) for member in self.members]
        size = np.log(len(found))
        return {n: np.logaddexp.reduce([f[n] for f in found]) - size for n in self.names}

    def counterfactual(
        self,
        columns: Mapping[str, FloatArray],
        *,
        do: Doing,
        draws: int,
        rng: np.random.Generator,
    ) -> CounterfactualColumns:
        """The mean of what each member says that the records would have been under do()."""
        each = max(1, draws // len(self.members))
        found = [m.counterfactual(columns, do=do, draws=each, rng=rng) for m in self.members]
        laws = {
            n: np.mean([f.probabilities[n] for f in found], axis=0) for n in found[0].probabilities
        }
        values = {n: np.mean([f.values[n] for f in found], axis=0) for n in self.names}
        modes = {n: np.argmax(law, axis=1).astype(np.float64) for n, law in laws.items()}
        return CounterfactualColumns(values={**values, **modes}, probabilities=laws)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnsembleMechanics:
    """The members node by node; each answers for its own share of the records."""

    members: tuple[Mechanics, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """All nodes, parents before children."""
        return self.members[0].order

    def parents(self, name: str) -> tuple[str, ...]:
        """The parents of a node."""
        return self.members[0].parents(name)

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> Columns:
        """Noise of every node; its law is the same in all members."""
        return self.members[0].draw_noise(num_records, rng)

    def abduct(self, columns: Mapping[str, FloatArray], rng: np.random.Generator) -> Columns:
        """Noise that explains the records, each in its own member."""
        return self._by_member(
            next(iter(columns.values())), lambda m, part: m.abduct(_rows(columns, part), rng)
        )

    def evaluate(
        self, name: str, noise: FloatArray, columns: Mapping[str, FloatArray]
    ) -> FloatArray:
        """The value of one node, from its noise and the columns of its parents."""
        found = self._by_member(
            noise,
            lambda m, part: {name: m.evaluate(name, noise[part], _rows(columns, part))},
        )
        return found[name]

    def _by_member(
        self, like: FloatArray, answer: Callable[[Mechanics, NDArray[np.intp]], Columns]
    ) -> Columns:
        parts = _shares(len(like), len(self.members))
        return _joined(
            [answer(m, part) for m, part in zip(self.members, parts, strict=True) if len(part)]
        )


def spread_between(answers: Sequence[float]) -> float:
    """The standard deviation between members, such that 1.96 of it make a 95 % interval.

    Each member was trained on its own bootstrap of the rows, so that members differ as answers
    from new rows would. So few differences are Student's: the factor is t / 1.96.

    >>> round(spread_between([1.0, 2.0, 3.0]), 3)
    2.195
    """
    freedom = len(answers) - 1
    return float(np.std(answers, ddof=1) * stdtrit(freedom, 0.975) / Z_95)


def _shares(num_records: int, members: int) -> list[NDArray[np.intp]]:
    """Which records each member answers for."""
    return np.array_split(np.arange(num_records), members)


def _rows(columns: Mapping[str, FloatArray], part: NDArray[np.intp]) -> Columns:
    return {name: column[part] for name, column in columns.items()}


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
