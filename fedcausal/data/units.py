"""Units: from what a site measures in to what the study declares, and no guess on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import DataError
from fedcausal.schema import Variable, did_you_mean

__all__ = ["Conversion", "SiteUnit", "conversion_of"]

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A linear change of units: study value = factor * site value + offset.

    >>> Conversion(factor=5 / 9, offset=-160 / 9).apply(np.array([212.0])).round(9).tolist()
    [100.0]
    """

    factor: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.factor) and self.factor != 0 and np.isfinite(self.offset)):
            raise DataError(
                f"expected a finite factor other than 0 and a finite offset, got factor = "
                f"{self.factor:g} and offset = {self.offset:g}"
            )

    def apply(self, values: Vector) -> Vector:
        """The site's numbers in the study's unit."""
        return np.asarray(values * self.factor + self.offset, dtype=np.float64)

    def undo(self, values: Vector) -> Vector:
        """The study's numbers in the site's unit."""
        return np.asarray((values - self.offset) / self.factor, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteUnit:
    """What a site says of one column: its unit, and how it is converted where no table knows.

    `factor` and `offset` are for any two units; `molar_mass` (g/mol) is for mass against molar
    concentrations.
    """

    unit: str
    factor: float | None = None
    offset: float | None = None
    molar_mass: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """One unit: base value = scale * value + shift, base being the first of its dimension."""

    dimension: str
    scale: float
    shift: float = 0.0


_MASS, _MOLAR = "mass concentration", "molar concentration"
_SCALES: Mapping[str, Mapping[str, float]] = {
    "mass": {"kg": 1.0, "g": 1e-3, "mg": 1e-6, "ug": 1e-9, "lb": 0.45359237, "oz": 0.028349523125},
    "length": {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "km": 1e3, "in": 0.0254, "ft": 0.3048},
    "volume": {"l": 1.0, "dl": 0.1, "ml": 1e-3},
    "time": {"d": 1.0, "h": 1 / 24, "min": 1 / 1440, "s": 1 / 86400, "week": 7.0},
    "age": {"year": 1.0, "month": 1 / 12},
    "pressure": {"kpa": 1.0, "mmhg": 0.133322387415, "pa": 1e-3, "cmh2o": 0.0980665},
    "share": {"1": 1.0, "%": 0.01},
    _MASS: {"g/l": 1.0, "g/dl": 10.0, "mg/dl": 0.01, "mg/l": 1e-3, "ug/l": 1e-6, "ng/ml": 1e-6},
    _MOLAR: {"mol/l": 1.0, "mmol/l": 1e-3, "umol/l": 1e-6, "nmol/l": 1e-9},
}
_TEMPERATURES = {
    "degc": _Unit(dimension="temperature", scale=1.0),
    "degf": _Unit(dimension="temperature", scale=5 / 9, shift=-160 / 9),
    "k": _Unit(dimension="temperature", scale=1.0, shift=-273.15),
}
_KNOWN: Mapping[str, _Unit] = MappingProxyType(
    {
        name: _Unit(dimension=dimension, scale=scale)
        for dimension, units in _SCALES.items()
        for name, scale in units.items()
    }
    | _TEMPERATURES
)
_SAME = {
    "µ": "u",
    "μ": "u",
    "°c": "degc",
    "°f": "degf",
    "celsius": "degc",
    "fahrenheit": "degf",
    "percent": "%",
    "years": "year",
    "yr": "year",
    "months": "month",
    "days": "d",
    "day": "d",
    "hours": "h",
    "weeks": "week",
}


def conversion_of(variable: Variable, site: SiteUnit) -> Conversion:
    """From a site's unit of a variable to the study's.

    Raises
    ------
    DataError
        The variable has no unit or no numbers, or nobody said how to convert: units are never
        guessed. The message begins with the key below `units.` of the site file.

    >>> from fedcausal.schema import Kind
    >>> chol = Variable(name="chol", kind=Kind.CONTINUOUS, unit="mmol/L")
    >>> round(conversion_of(chol, SiteUnit(unit="mg/dL", molar_mass=386.65)).factor, 5)
    0.02586
    """
    name = variable.name
    if variable.categories:
        raise DataError(
            f"{name}: expected a variable of numbers, the study has levels; remove units.{name}"
        )
    if not variable.unit:
        raise DataError(
            f"{name}.unit: the study declares no unit for {name}; ask for variables.{name}.unit "
            f"in study.toml, or remove units.{name}"
        )
    if site.factor is not None:
        return Conversion(factor=site.factor, offset=site.offset or 0.0)
    if _plain(site.unit) == _plain(variable.unit):
        return Conversion(factor=1.0)
    here, there = _KNOWN.get(_plain(site.unit)), _KNOWN.get(_plain(variable.unit))
    for unit, found in ((site.unit, here), (variable.unit, there)):
        if found is None:
            raise DataError(
                f"{name}.unit: no conversion is known for {unit!r}"
                f"{did_you_mean(unit, sorted(_KNOWN))}; or write factor (and offset) from "
                f"{site.unit!r} to the study's {variable.unit!r}"
            )
    if here is None or there is None:
        raise DataError(f"{name}.unit: no conversion is known")
    return _between(name, site, variable.unit, here, there)


def _between(name: str, site: SiteUnit, wanted: str, here: _Unit, there: _Unit) -> Conversion:
    scale = here.scale / there.scale
    if here.dimension == there.dimension:
        return Conversion(factor=scale, offset=(here.shift - there.shift) / there.scale)
    if {here.dimension, there.dimension} == {_MASS, _MOLAR}:
        if site.molar_mass is None:
            raise DataError(
                f"{name}.molar_mass: {site.unit} becomes {wanted} by the substance's molar mass; "
                "write molar_mass = 386.65 (cholesterol), 180.16 (glucose), in g/mol, or factor"
            )
        is_mass = here.dimension == _MASS
        return Conversion(factor=scale / site.molar_mass if is_mass else scale * site.molar_mass)
    raise DataError(
        f"{name}.unit: {site.unit!r} is a {here.dimension} and the study's {wanted!r} a "
        f"{there.dimension}; correct the unit, or the column that {name} is read from"
    )


def _plain(unit: str) -> str:
    """One spelling for one unit."""
    text = unit.strip().casefold().replace(" ", "")
    for found, one in _SAME.items():
        text = text.replace(found, one) if len(found) == 1 else one if text == found else text
    return text
