"""What was released: frozen events, which an accountant costs and a ledger keeps."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, TypeAlias

from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.errors import UnsupportedEventError

__all__ = [
    "Event",
    "GaussianRelease",
    "NoPrivacy",
    "PoissonSampledGaussian",
    "event_from_json",
    "event_to_json",
]

Neighbouring: TypeAlias = Literal["add-or-remove"]
Unit: TypeAlias = Literal["record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianRelease:
    """One vector released with Gaussian noise of standard deviation sensitivity x multiplier.

    `sensitivity` is the L2 sensitivity under the stated neighbouring relation.
    """

    tag: ClassVar[str] = "gaussian-release"
    sensitivity: float
    noise_multiplier: float
    name: str
    neighbouring: Neighbouring = "add-or-remove"
    unit: Unit = "record"

    def __post_init__(self) -> None:
        _require_positive(self.tag, "sensitivity", self.sensitivity)
        _require_positive(self.tag, "noise_multiplier", self.noise_multiplier)
        _require_relation(self.tag, self.neighbouring, self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonSampledGaussian:
    """Clipped, noised sums over Poisson samples: `steps` steps of DP-SGD.

    References: Abadi et al. (2016), arXiv:1607.00133, algorithm 1; the sampling must be Poisson
    (every record joins a step with probability `sample_rate`, independently).
    """

    tag: ClassVar[str] = "poisson-sampled-gaussian"
    sample_rate: float
    noise_multiplier: float
    steps: int
    neighbouring: Neighbouring = "add-or-remove"
    unit: Unit = "record"

    def __post_init__(self) -> None:
        _require_positive(self.tag, "sample_rate", self.sample_rate)
        _require_positive(self.tag, "noise_multiplier", self.noise_multiplier)
        if self.sample_rate > 1:
            raise _unsupported(self.tag, "sample_rate", "a probability", self.sample_rate)
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise _unsupported(self.tag, "steps", "a positive integer", self.steps)
        _require_relation(self.tag, self.neighbouring, self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPrivacy:
    """A release without differential privacy: kept in the ledger, never counted as epsilon."""

    tag: ClassVar[str] = "no-privacy"
    name: str
    neighbouring: Neighbouring = "add-or-remove"
    unit: Unit = "record"

    def __post_init__(self) -> None:
        _require_relation(self.tag, self.neighbouring, self.unit)


Event: TypeAlias = GaussianRelease | PoissonSampledGaussian | NoPrivacy

_EVENTS: dict[str, type[Event]] = {
    kind.tag: kind for kind in (GaussianRelease, PoissonSampledGaussian, NoPrivacy)
}


def event_to_json(event: Event) -> dict[str, JsonValue]:
    """The event as a JSON object; `event` names its kind."""
    if type(event) not in _EVENTS.values():
        raise UnsupportedEventError(
            f"expected one of {sorted(_EVENTS)}, got {type(event).__name__}"
        )
    return {"event": event.tag, **asdict(event)}


def event_from_json(value: Mapping[str, JsonValue]) -> Event:
    """Rebuild an event from `event_to_json`; whatever is not understood is an error, never free.

    Raises
    ------
    UnsupportedEventError
        For an unknown kind, a missing or unknown field, or a value outside its range.
    """
    fields = dict(value)
    tag = fields.pop("event", None)
    kind = _EVENTS.get(tag) if isinstance(tag, str) else None
    if kind is None:
        raise UnsupportedEventError(f"expected an event of {sorted(_EVENTS)}, got {tag!r}")
    try:
        return kind(**fields)  # type: ignore[arg-type]
    except TypeError:
        raise UnsupportedEventError(
            f"an event {tag!r} has missing, unknown or mistyped fields: {sorted(fields)}"
        ) from None


def _require_positive(tag: str, name: str, value: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:
        raise _unsupported(tag, name, "a positive number", value)


def _require_relation(tag: str, neighbouring: str, unit: str) -> None:
    if neighbouring != "add-or-remove":
        raise _unsupported(tag, "neighbouring", "'add-or-remove'", neighbouring)
    if unit != "record":
        raise _unsupported(tag, "unit", "'record'", unit)


def _unsupported(tag: str, name: str, expected: str, value: object) -> UnsupportedEventError:
    return UnsupportedEventError(f"event {tag!r}: {name}: expected {expected}, got {value!r}")
