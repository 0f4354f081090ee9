"""The mechanisms that a variable could have, as they travel, and which one predicts best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedcausal.errors import FedCausalError, InputError, ProtocolError
from fedcausal.model.family_basis import Family, FloatArray, log_unit, unscale
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.gram_fit import fit_plain_mechanism
from fedcausal.model.mechanism import LevelMechanism, Mechanism, NumericMechanism
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.model.scaled_noise import ScaledNoiseMechanism
from fedcausal.model.spread import Spread, spread_basis
from fedcausal_privacy.canonical import JsonValue

__all__ = [
    "CLOSED_FORM",
    "FLOW",
    "Candidates",
    "NodeChoice",
    "candidate_from_json",
    "candidate_to_json",
    "candidates_of",
    "choice_of",
    "unit_of",
]

PLAIN_NUMBER, PLAIN_LEVELS = "linear Gaussian", "frequencies"
EVIDENCE = math.log(20.0)
"""How many nats, over all records, a candidate must be ahead of a simpler one."""
CLOSED_FORM, SCALED, FLOW = "closed form", "scaled noise", "neural flow"

Candidates = Mapping[str, Mechanism]
"""Mechanisms of one variable by name, the simplest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChoice:
    """How well the candidates of a node predict held-out records, and which was taken.

    Attributes
    ----------
    node
        The variable.
    num_records
        Held-out records, complete in the node and its parents; 0 where they are too few to show.
    scores
        Mean log density per record (a number in units of its residual), by candidate.
    chosen
        The candidate of the model.
    """

    node: str
    num_records: int
    scores: Mapping[str, float]
    chosen: str

    def to_json(self) -> JsonValue:
        """The choice as a JSON object."""
        return {
            "node": self.node,
            "records": self.num_records,
            "log_likelihood": dict(self.scores),
            "chosen": self.chosen,
        }


def candidates_of(
    grams: Mapping[str, FamilyGram],
    mechanisms: Mapping[str, Mechanism],
    rivals: Mapping[str, Mechanism],
) -> dict[str, dict[str, Mechanism]]:
    """The candidates in closed form of every node that has more than one.

    `rivals` are the constant-noise versions of mechanisms whose noise is scaled. A formula has no
    rival: it is known.
    """
    found: dict[str, dict[str, Mechanism]] = {}
    for node, own in mechanisms.items():
        if isinstance(own, ScaledNoiseMechanism):
            fitted: dict[str, Mechanism] = {CLOSED_FORM: rivals[node]} if node in rivals else {}
            fitted[SCALED] = own
        elif isinstance(own, NumericMechanism | LevelMechanism):
            fitted = {CLOSED_FORM: own}
        else:
            continue
        levels, features = grams[node].family.num_levels, grams[node].family.basis.terms
        if levels and not features:
            continue
        plain = PLAIN_LEVELS if levels else PLAIN_NUMBER
        found[node] = {plain: fit_plain_mechanism(grams[node]), **fitted}
    return found


def choice_of(node: str, names: tuple[str, ...], sums: FloatArray, num_records: int) -> NodeChoice:
    """The simplest candidate that is about as good as the best one.

    That is the first whose sum of log densities is within log 20 of the largest: a ratio of
    likelihoods of less than 20 is no strong evidence.

    References
    ----------
    Kass and Raftery (1995), Bayes factors, JASA 90, section 3.2.

    >>> choice_of("y", ("line", "curve"), np.array([-20.0, -10.0]), 10).chosen
    'curve'
    """
    scores = {name: float(own) / num_records for name, own in zip(names, sums, strict=True)}
    is_good = np.asarray(sums) >= np.max(sums) - EVIDENCE
    return NodeChoice(
        node=node, num_records=num_records, scores=scores, chosen=names[int(np.argmax(is_good))]
    )


def unit_of(candidates: Candidates) -> float:
    """The declared unit in which densities of a number are told: its residual's spread; else 1."""
    own = candidates[CLOSED_FORM] if CLOSED_FORM in candidates else candidates[SCALED]
    if not isinstance(own, NumericMechanism):
        return 1.0
    interval = own.family.known_range
    middle = unscale(np.zeros(1), interval)
    return max(own.residual.sd, 1e-12) * float(np.exp(log_unit(middle, interval)).item())


def candidate_to_json(mechanism: Mechanism) -> JsonValue:
    """What a candidate's density follows from, besides its family."""
    if isinstance(mechanism, LevelMechanism):
        return {"coefficients": mechanism.coefficients.tolist()}
    if not isinstance(mechanism, NumericMechanism):
        raise FedCausalError(f"{mechanism.family.node} has a mechanism that does not travel")
    law = mechanism.residual
    content: dict[str, JsonValue] = {
        "coefficients": mechanism.coefficients.tolist(),
        "edges": law.edges.tolist(),
        "masses": law.masses.tolist(),
        "records": law.num_records,
    }
    if isinstance(mechanism, ScaledNoiseMechanism):
        content["spread"] = mechanism.spread.coefficients.tolist()
    return content


def candidate_from_json(family: Family, value: JsonValue) -> Mechanism:
    """Rebuild a candidate of a family, without its sampling errors.

    Raises
    ------
    ProtocolError
        The parts do not fit the family.
    """
    try:
        return _mechanism(family, value)
    except (KeyError, TypeError, ValueError, InputError):
        where = f"candidates.{family.node}"
        raise ProtocolError(f"likelihoods: {where}: cannot be read as a mechanism") from None


def _mechanism(family: Family, value: JsonValue) -> Mechanism:
    if not isinstance(value, Mapping):
        raise TypeError("expected an object")
    width = 1 + family.basis.num_features
    if family.num_levels:
        return LevelMechanism(
            family=family,
            coefficients=_numbers(value["coefficients"], (width, family.num_levels)),
            feature_covariance=np.zeros((width, width)),
            level_covariance=np.zeros((family.num_levels, family.num_levels)),
        )
    records = value["records"]
    if not isinstance(records, int) or records < 1:
        raise ValueError("a law has records")
    edges = _numbers(value["edges"], None)
    plain = NumericMechanism(
        family=family,
        coefficients=_numbers(value["coefficients"], (width,)),
        covariance=np.zeros((width, width)),
        residual=ResidualLaw(
            edges=edges,
            masses=_numbers(value["masses"], (len(edges) - 1,)),
            num_records=records,
        ),
    )
    if "spread" not in value:
        return plain
    basis = spread_basis(family.basis)
    spread = Spread(basis=basis, coefficients=_numbers(value["spread"], (1 + basis.num_features,)))
    return ScaledNoiseMechanism(
        family=family,
        coefficients=plain.coefficients,
        covariance=plain.covariance,
        residual=plain.residual,
        spread=spread,
    )


def _numbers(value: JsonValue, shape: tuple[int, ...] | None) -> FloatArray:
    numbers = np.array(value, dtype=float)
    if (shape is not None and numbers.shape != shape) or not np.isfinite(numbers).all():
        raise ValueError("numbers of another shape, or not finite")
    if shape is None and (numbers.ndim != 1 or len(numbers) < 2):
        raise ValueError("edges are a list of numbers")
    return numbers
