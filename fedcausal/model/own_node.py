"""A user's own mechanism among the others: called with columns, and held to its contract."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from fedcausal.errors import FedCausalError
from fedcausal.model.family_basis import Family, FloatArray
from fedcausal.model.mechanism import Parents
from fedcausal.model.own_entry_points import load_own
from fedcausal.model.own_mechanism import Arrays, OwnMechanism, OwnTotals, OwnVariable

__all__ = ["OwnNode", "features_of", "fit_own", "num_features_of", "own_mechanism", "own_variable"]

T = TypeVar("T")

TOLERANCE = 1e-5
"""Of the range: how far a value may be from itself after abduction and prediction."""
PROBES = 256
MOST_FEATURES = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnNode:
    """A fitted mechanism of a user's own.

    Attributes
    ----------
    family
        The node, its parents and ranges; the features are the closed form's and unused.
    name, version
        What it is called among the installed ones.
    own, arrays
        Its equations, and what was fitted.

    Assumptions: those of its author; doubt about it is in an interval where its `redraw` says so.
    """

    family: Family
    name: str
    version: str
    own: OwnMechanism
    arrays: Arrays
    dropped: tuple[str, ...] = ()

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> FloatArray:
        """Noise of its own law."""
        return self._asked(
            "draw_noise", lambda: self.own.draw_noise(num_records, rng), num_records
        )

    def abduct(self, value: FloatArray, parents: Parents, rng: np.random.Generator) -> FloatArray:
        """The noise of observed records."""
        return self._of_columns("abduct", self.own.abduct, value, parents)

    def predict(self, noise: FloatArray, parents: Parents) -> FloatArray:
        """The value that this noise gives."""
        return self._of_columns("predict", self.own.predict, noise, parents)

    def log_prob(self, value: FloatArray, parents: Parents) -> FloatArray:
        """Log density per declared unit; minus infinity for what cannot be."""
        return self._of_columns("log_prob", self.own.log_prob, value, parents)

    def resampler(self) -> "Callable[[np.random.Generator], OwnNode]":
        """Draws what its author says of its sampling law."""

        def redrawn(rng: np.random.Generator) -> OwnNode:
            arrays = _guarded(
                self.name,
                self.family.node,
                "redraw",
                lambda: self.own.redraw(self.arrays, rng),
            )
            return replace(self, arrays=_checked(self, arrays))

        return redrawn

    def _of_columns(
        self,
        what: str,
        asked: Callable[[Arrays, FloatArray, Mapping[str, FloatArray]], FloatArray],
        own: FloatArray,
        parents: Parents,
    ) -> FloatArray:
        """One of its functions, on columns of one length."""
        names = self.family.basis.parents
        own, *others = np.broadcast_arrays(own, *(parents[name] for name in names))
        flat = {
            name: np.asarray(column, dtype=float).ravel()
            for name, column in zip(names, others, strict=True)
        }
        value = np.asarray(own, dtype=float).ravel()
        found = self._asked(what, lambda: asked(self.arrays, value, flat), len(value))
        return found.reshape(own.shape)

    def _asked(self, what: str, call: Callable[[], FloatArray], size: int) -> FloatArray:
        raw = _guarded(self.name, self.family.node, what, call)
        found = _numbers(raw)
        if found is None or found.shape != (size,) or not _is_answer(found, what):
            raise FedCausalError(
                f"the mechanism {self.name!r} of {self.family.node!r}: {what} gave no {size} "
                "finite numbers; its package needs a repair"
            )
        return found


def own_variable(family: Family, num_levels: Mapping[str, int]) -> OwnVariable:
    """What a mechanism may know of its variable."""
    parents = family.basis.parents
    return OwnVariable(
        node=family.node,
        parents=parents,
        ranges={
            name: (float(interval[0]), float(interval[1]))
            for name, interval in {**family.basis.ranges, family.node: family.known_range}.items()
        },
        num_levels={name: num_levels[name] for name in parents if num_levels[name]},
    )


def own_mechanism(name: str, version: str, about: OwnVariable) -> OwnMechanism:
    """The installed mechanism for a variable."""
    made = load_own(name, version, f"model.mechanisms.{about.node}")
    return _guarded(name, about.node, "its start", lambda: made(about))


def num_features_of(name: str, own: OwnMechanism) -> int:
    """How many features it says that it has.

    Raises
    ------
    FedCausalError
        It raises, or says no whole number from 1 to `MOST_FEATURES`.
    """
    found = _guarded(name, own.about.node, "num_features", lambda: own.num_features)
    if not isinstance(found, int) or not 1 <= found <= MOST_FEATURES:
        raise FedCausalError(
            f"the mechanism {name!r} of {own.about.node!r}: num_features is a number from 1 to "
            f"{MOST_FEATURES}; its package needs a repair"
        )
    return found


def features_of(
    name: str,
    own: OwnMechanism,
    num_features: int,
    *,
    value: FloatArray,
    parents: Mapping[str, FloatArray],
) -> FloatArray:
    """Features of a site's records, (num_records, num_features), held within [-1, 1].

    Raises
    ------
    FedCausalError
        It raises, or gives other than finite numbers of this shape. No value is in the message.
    """
    found = _numbers(
        _guarded(name, own.about.node, "features", lambda: own.features(value, parents))
    )
    if found is None or found.shape != (len(value), num_features) or not np.isfinite(found).all():
        raise FedCausalError(
            f"the mechanism {name!r} of {own.about.node!r}: features gave no {num_features} "
            "finite numbers for each record; its package needs a repair"
        )
    return np.clip(found, -1.0, 1.0)


def fit_own(
    name: str, version: str, own: OwnMechanism, *, family: Family, totals: OwnTotals
) -> OwnNode:
    """A mechanism fitted to released totals, and checked against its contract.

    Raises
    ------
    FedCausalError
        It raises, its arrays are no finite numbers, or a value does not come back from its noise.
    """
    arrays = _guarded(name, family.node, "fit", lambda: own.fit(totals))
    node = OwnNode(family=family, name=name, version=version, own=own, arrays={})
    node = replace(node, arrays=_checked(node, arrays))
    _check_round_trip(node)
    return node


def _check_round_trip(node: OwnNode) -> None:
    """Draw records all over the public ranges; each value must follow from its own noise."""
    rng, about = np.random.default_rng(0), node.own.about
    parents = {
        name: rng.integers(about.num_levels[name], size=PROBES).astype(float)
        if name in about.num_levels
        else rng.uniform(*about.ranges[name], size=PROBES)
        for name in about.parents
    }
    low, high = about.ranges[about.node]
    value = node.predict(node.draw_noise(PROBES, rng), parents)
    again = node.predict(node.abduct(value, parents, rng), parents)
    off = float(np.max(np.abs(again - value))) / (high - low)
    node.log_prob(value, parents)
    if off > TOLERANCE:
        raise FedCausalError(
            f"the mechanism {node.name!r} of {about.node!r}: predict does not undo abduct (off by "
            f"{off:.2g} of the range, {TOLERANCE:g} allowed); its package needs a repair"
        )


def _checked(node: OwnNode, arrays: object) -> dict[str, FloatArray]:
    """Named arrays of finite numbers, whatever else came."""
    found: dict[str, FloatArray] = {}
    for key, value in arrays.items() if isinstance(arrays, Mapping) else ():
        numbers = _numbers(value)
        if isinstance(key, str) and key.isidentifier() and numbers is not None:
            found[key] = numbers.copy()
            found[key].setflags(write=False)
    is_whole = isinstance(arrays, Mapping) and len(found) == len(arrays)
    if not is_whole or not all(np.isfinite(own).all() for own in found.values()):
        raise FedCausalError(
            f"the mechanism {node.name!r} of {node.family.node!r}: its fit gave no named arrays "
            "of finite numbers; the totals do not determine it, or its package needs a repair"
        )
    return found


def _is_answer(found: FloatArray, what: str) -> bool:
    if what == "log_prob":
        return not bool(np.any(np.isnan(found) | np.isposinf(found)))
    return bool(np.isfinite(found).all())


def _numbers(value: object) -> FloatArray | None:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _guarded(name: str, node: str, what: str, call: Callable[[], T]) -> T:
    """What a call gives; a word about whose it is when it raises."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused as an answer
            return call()
    except Exception as error:
        raise FedCausalError(
            f"the mechanism {name!r} of {node!r}: {what} raised {type(error).__name__}; its "
            "package needs a repair"
        ) from error
