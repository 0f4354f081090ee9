"""One variable of a study file: kind, bounds, levels, basis, and how its values go missing."""

from typing import Annotated, Literal

from pydantic import Strict, field_validator, model_validator

from fedcausal.errors import SchemaError
from fedcausal.schema import Kind, Variable
from fedcausal.study_file.errors import refuse
from fedcausal.study_file.values import Bounds, Levels, Section, Values
from fedcausal.transform import Transform

__all__ = ["BASES", "HEAVY_BASES", "VariableSpec", "known_basis"]

# Degree of each basis; "auto" collects the third and reads from the sums which one is needed.
BASES = {
    "linear": 1,
    "legendre-2": 2,
    "legendre-3": 3,
    "asinh-2": 2,
    "asinh-3": 3,
    "asinh-4": 4,
    "auto": 3,
}

# Bases of the asinh of a number: for heavy tails.
HEAVY_BASES = ("asinh-2", "asinh-3", "asinh-4")

# Far beyond any unit in use; sums of products of scaled numbers stay finite.
MAX_BOUND = 1e15
MIN_WIDTH = 1e-9


class VariableSpec(Section):
    """One variable as the study file declares it; see `fedcausal.schema.Variable`."""

    kind: Annotated[Kind, Strict(False)]
    bounds: Bounds | None = None
    categories: Levels = ()
    missing: Values = ()
    unit: str = ""
    role: str = ""
    label: str = ""
    basis: str | None = None
    formula: str | None = None
    transform: Annotated[Transform, Strict(False)] | None = None
    missingness: Literal["completely-at-random", "at-random", "not-at-random"] = "at-random"

    @field_validator("missingness")
    @classmethod
    def _can_be_known(cls, missingness: str) -> str:
        if missingness == "not-at-random":
            raise refuse(
                "values that are missing because of what they are cannot be made good from the "
                "others without a model of why they are missing, which this version does not "
                "have; leave the variable out, or record why a value is missing as a variable of "
                'its own and write "at-random"'
            )
        return missingness

    @field_validator("basis")
    @classmethod
    def _known_basis(cls, basis: str | None) -> str | None:
        return None if basis is None else known_basis(basis)

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] < bounds[1]:
            lo, hi = sorted(bounds)
            remedy = (
                f"write bounds = [{lo:g}, {hi:g}]" if lo < hi else "give two different numbers"
            )
            raise refuse(f"expected lo < hi, got [{bounds[0]:g}, {bounds[1]:g}]; {remedy}")
        if bounds is not None:
            _check_scale(*bounds)
        return bounds

    @field_validator("categories")
    @classmethod
    def _readable(cls, categories: tuple[str, ...]) -> tuple[str, ...]:
        odd = [level for level in categories if not level.isprintable() or not level.strip()]
        if odd:
            raise refuse(
                f"expected levels in plain words, got {odd[0]!r}; rename it (rows without a "
                "value need no level)"
            )
        return categories

    @model_validator(mode="after")
    def _consistent(self) -> "VariableSpec":
        try:
            variable = self.variable("x")
        except SchemaError as error:
            raise refuse(str(error).removeprefix("variable 'x': ")) from None
        if self.basis not in (None, "linear") and not variable.is_numeric:
            raise refuse(
                f"a {self.kind.value} variable has its levels for a basis; remove the key",
                key="basis",
            )
        if self.kind is Kind.BINARY and not self.categories:
            object.__setattr__(self, "categories", variable.categories)
        if self.kind is Kind.ORDINAL and self.categories:
            object.__setattr__(self, "bounds", variable.bounds)
        return self

    def variable(self, name: str) -> Variable:
        """The schema's variable of this declaration."""
        return Variable(
            name=name,
            kind=self.kind,
            bounds=self.bounds,
            categories=self.categories,
            missing=self.missing,
            unit=self.unit,
            role=self.role,
            label=self.label,
            transform=self.transform,
        )


def known_basis(basis: str) -> str:
    """The name of a basis that exists."""
    if basis not in BASES:
        usable = ", ".join(f'"{name}"' for name in BASES)
        raise refuse(f'unknown basis "{basis}"; write one of {usable}')
    return basis


def _check_scale(lo: float, hi: float) -> None:
    """Refuse bounds between which floating point has no room."""
    if max(abs(lo), abs(hi)) > MAX_BOUND:
        raise refuse(
            f"expected numbers from -{MAX_BOUND:g} to {MAX_BOUND:g}, got [{lo:g}, {hi:g}]; "
            "write what is possible, or choose a larger unit"
        )
    if hi - lo < MIN_WIDTH * max(abs(lo), abs(hi), MIN_WIDTH):
        raise refuse(
            f"[{lo!r}, {hi!r}] is too narrow for floating point; write what is possible, or "
            "choose a smaller unit"
        )
