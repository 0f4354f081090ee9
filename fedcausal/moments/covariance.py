"""The block covariance: all that discovery and effect estimation read of the data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedcausal.data.table import Matrix, Vector
from fedcausal.errors import SchemaError
from fedcausal.schema import did_you_mean

__all__ = ["BlockCovariance", "GramNoise"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GramNoise:
    """The privacy noise in a covariance: known in law, not in value.

    Attributes
    ----------
    deviations
        (p,) f: the noise of entry (i, j) has variance f_i f_j (1 + [i = j]).
    num_records
        Records behind the covariance.
    """

    deviations: Vector
    num_records: float

    @property
    def typical(self) -> float:
        """The noise of a typical correlation."""
        return float(np.median(self.deviations))

    @property
    def floor(self) -> float:
        """Smallest eigenvalue that means anything: a quarter of what noise alone reaches."""
        size = len(self.deviations)
        return float(max(1e-2, 0.5 * self.typical * np.sqrt(size)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockCovariance:
    """A correlation-like matrix over the features of every usable variable.

    Attributes
    ----------
    names
        The usable variables (d of them), in schema order.
    blocks
        Variable -> its rows of `covariance`; reference levels and dropped features are removed.
    covariance
        (p, p) positive definite, unit diagonal.
    num_records
        (d, d) effective pair counts: records in which both variables are observed, less the
        means that were estimated (one per site when centred, one when pooled).
    dropped
        (feature label, reason) of every feature that is not in `covariance`.
    responses
        Variable -> the rows that say what it is (its number, or the indicators of its levels);
        the other rows of its block are functions of these. The whole block when left out.
    notes
        What was repaired or cannot be told apart, as sentences.
    noise
        The privacy noise in `covariance`; None where the sums were exact.
    """

    names: tuple[str, ...]
    blocks: Mapping[str, tuple[int, ...]]
    covariance: Matrix
    num_records: Matrix
    dropped: tuple[tuple[str, str], ...] = ()
    responses: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    noise: GramNoise | None = None

    def __post_init__(self) -> None:
        rows = [i for name in self.names for i in self.blocks[name]]
        if self.covariance.shape != (len(rows), len(rows)) or sorted(rows) != list(
            range(len(rows))
        ):
            raise SchemaError("the blocks do not cover the rows of the covariance once each")
        if self.num_records.shape != (len(self.names), len(self.names)):
            raise SchemaError("pair counts and names differ in length")
        responses = {name: self.responses.get(name, self.blocks[name]) for name in self.names}
        if any(
            not set(rows) <= set(self.blocks[name]) or not rows for name, rows in responses.items()
        ):
            raise SchemaError("a variable's response is not a part of its block")
        object.__setattr__(self, "responses", responses)
        for key in ("covariance", "num_records"):
            array = np.array(getattr(self, key), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, key, array)

    @property
    def is_linear(self) -> bool:
        """Whether every block is its response: no variable has a polynomial basis."""
        return all(self.responses[name] == self.blocks[name] for name in self.names)

    def index(self, name: str) -> int:
        """Position of a variable in `names` and `num_records`."""
        if name not in self.blocks:
            raise SchemaError(f"no usable variable {name!r}{did_you_mean(name, self.names)}")
        return self.names.index(name)

    def rows(self, names: Iterable[str]) -> list[int]:
        """Rows of `covariance` that belong to some variables, in the order given."""
        return [i for name in names for i in self.blocks[name]]

    def records(self, names: Iterable[str]) -> float:
        """The smallest effective pair count among some variables."""
        chosen = [self.index(name) for name in names]
        return float(np.min(self.num_records[np.ix_(chosen, chosen)]))
