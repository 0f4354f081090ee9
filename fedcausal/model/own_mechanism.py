"""What a user writes to bring a mechanism of one's own: features to sum, a law from their sums."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedcausal.model.family_basis import FloatArray, Range

__all__ = ["Arrays", "OwnMechanism", "OwnTotals", "OwnVariable"]

Arrays = Mapping[str, FloatArray]
"""A fitted mechanism by names: what is written to disk, and given back to every question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnVariable:
    """The public facts of the variable that a mechanism is for.

    Attributes
    ----------
    node, parents
        The variable, and its causes in the study's order.
    ranges
        The (lowest, highest) value of each number among them: declared, or released.
    num_levels
        How many levels each cause has that is no number; its values are codes from 0.
    """

    node: str
    parents: tuple[str, ...]
    ranges: Mapping[str, Range]
    num_levels: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTotals:
    """Sums over the records of all sites that are complete in the variable and its causes.

    Attributes
    ----------
    num_records
        How many they are.
    sums
        (num_features,) of each feature.
    products
        (num_features, num_features) of each pair of features.
    """

    num_records: int
    sums: FloatArray
    products: FloatArray

    def __post_init__(self) -> None:
        for array in (self.sums, self.products):
            array.setflags(write=False)


class OwnMechanism(ABC):
    """One structural equation of a number: value = predict(noise, parents).

    A package offers its class under the entry points `fedcausal.mechanisms`; a study names it and
    its `version`. All values are columns (num_records,) in declared units, or level codes; what
    is fitted travels as `Arrays`, so that an object holds no state.

    Parameters
    ----------
    about
        The variable, its causes and their public ranges.

    Assumptions: `predict(abduct(value))` is the value again (1e-5 of the range is checked at the
    fit), and noise is independent of the parents. What else is assumed is the author's to say.

    Privacy: a site runs `features` alone, on its own rows; their sums and the sums of their
    products leave it through the gate and a secure sum. `fit` sees totals and nothing else. The
    cell rule counts records and levels; a feature that singles out few records would still be
    summed, which is why a site's policy approves mechanisms by name.
    """

    version: ClassVar[str]
    """Raised whenever the features or the meaning of the arrays change."""

    def __init__(self, about: OwnVariable) -> None:
        self.about = about

    @property
    @abstractmethod
    def num_features(self) -> int:
        """How many features there are; it may depend on what is public alone."""

    @abstractmethod
    def features(self, value: FloatArray, parents: Mapping[str, FloatArray]) -> FloatArray:
        """What is summed of each record, (num_records, num_features) within [-1, 1].

        Beyond that they are held at the border. No constant is needed: records are counted.
        """

    @abstractmethod
    def fit(self, totals: OwnTotals) -> Arrays:
        """The fitted mechanism: a pure function of the totals."""

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> FloatArray:
        """Noise of new records (num_records,): standard normal where not said otherwise."""
        return rng.standard_normal(num_records)

    @abstractmethod
    def abduct(
        self, arrays: Arrays, value: FloatArray, parents: Mapping[str, FloatArray]
    ) -> FloatArray:
        """The noise of observed records."""

    @abstractmethod
    def predict(
        self, arrays: Arrays, noise: FloatArray, parents: Mapping[str, FloatArray]
    ) -> FloatArray:
        """The value that this noise gives under these parents."""

    @abstractmethod
    def log_prob(
        self, arrays: Arrays, value: FloatArray, parents: Mapping[str, FloatArray]
    ) -> FloatArray:
        """Log density per declared unit."""

    def redraw(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        """The same with estimates drawn from their sampling law: what intervals are made of.

        As it stands nothing is drawn, and intervals hold no doubt about this mechanism.
        """
        return arrays
