"""The variables of a study: their kinds, units, bounds and levels, in one public order."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cached_property

from fedcausal.errors import InputError, SchemaError
from fedcausal.transform import Transform
from fedcausal_privacy.canonical import JsonValue, json_hash

__all__ = ["Kind", "Schema", "Variable", "did_you_mean"]

BINARY_LEVELS = ("0", "1")


class Kind(StrEnum):
    """What the values of a variable mean."""

    CONTINUOUS = "continuous"
    COUNT = "count"
    ORDINAL = "ordinal"
    BINARY = "binary"
    CATEGORICAL = "categorical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable as every site declares it.

    Attributes
    ----------
    name
        The name used in the study, the graph and the answers.
    kind
        What the values mean.
    bounds
        Public (lo, hi) in declared units of a continuous variable, a count (whole numbers from 0
        on) or a numeric ordinal; None when the study does not say. An ordinal with `categories`
        always has (0, L - 1).
    categories
        Levels of a categorical or binary variable (binary: exactly two, `("0", "1")` by default)
        or of an ordinal given in words, lowest first; codes 0..L-1 follow this order.
    missing
        Values that mean "missing" at every site (0 for a blood pressure, "?" for a code).
    transform
        What a model reads in the place of the number: for heavy tails; None for the number.
    unit, role, label
        Words for people; no computation reads them.

    Raises
    ------
    SchemaError
        When the parts contradict one another.
    """

    name: str
    kind: Kind
    bounds: tuple[float, float] | None = None
    categories: tuple[str, ...] = ()
    missing: tuple[float | str, ...] = ()
    unit: str = ""
    role: str = ""
    label: str = ""
    transform: Transform | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kind(self.kind))
        if not self.name or self.name != self.name.strip():
            raise SchemaError(f"variable {self.name!r}: expected a name without outer spaces")
        if self.kind is Kind.BINARY and not self.categories:
            object.__setattr__(self, "categories", BINARY_LEVELS)
        self._check_categories()
        if self.categories and self.kind is Kind.ORDINAL:
            self._take_code_bounds()
        self._check_bounds()
        self._check_transform()

    @property
    def is_numeric(self) -> bool:
        """Whether one number carries the variable: continuous, a count, an ordinal's code."""
        return self.kind in (Kind.CONTINUOUS, Kind.ORDINAL, Kind.COUNT)

    @property
    def num_levels(self) -> int:
        """Number of levels of a binary or categorical variable; 0 for a numeric one."""
        return 0 if self.is_numeric else len(self.categories)

    def to_json(self) -> dict[str, JsonValue]:
        """The variable as a JSON object."""
        bent: dict[str, JsonValue] = {"transform": self.transform.value} if self.transform else {}
        return {
            "name": self.name,
            "kind": self.kind.value,
            "bounds": None if self.bounds is None else list(self.bounds),
            "categories": list(self.categories),
            "missing": list(self.missing),
            "unit": self.unit,
            "role": self.role,
            "label": self.label,
            **bent,
        }

    def _check_categories(self) -> None:
        where, levels = f"variable {self.name!r}", self.categories
        if self.kind in (Kind.CONTINUOUS, Kind.COUNT) and levels:
            raise SchemaError(
                f"{where}: a {self.kind.value} variable has no categories; remove them"
            )
        if self.kind is Kind.BINARY and len(levels) != 2:
            raise SchemaError(f"{where}: a binary variable has 2 categories, got {len(levels)}")
        if self.kind is Kind.CATEGORICAL and len(levels) < 2:
            raise SchemaError(
                f"{where}: a categorical variable lists its levels (2 or more), "
                f'got {len(levels)}; write categories = ["a", "b", ...]'
            )
        if self.kind is Kind.ORDINAL and len(levels) == 1:
            raise SchemaError(f"{where}: an ordinal variable has 2 or more levels, got 1")
        if len(set(levels)) != len(levels):
            raise SchemaError(f"{where}: a category is listed twice; list each level once")

    def _take_code_bounds(self) -> None:
        codes = (0.0, float(len(self.categories) - 1))
        if self.bounds not in (None, codes):
            raise SchemaError(
                f"variable {self.name!r}: an ordinal with categories needs no bounds; remove them"
            )
        object.__setattr__(self, "bounds", codes)

    def _check_bounds(self) -> None:
        if self.bounds is None:
            return
        if not self.is_numeric:
            raise SchemaError(
                f"variable {self.name!r}: a {self.kind.value} variable has no bounds; remove them"
            )
        lo, hi = self.bounds
        if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
            raise SchemaError(f"variable {self.name!r}: expected lo < hi, got [{lo:g}, {hi:g}]")
        if self.kind is Kind.COUNT and (lo < 0 or lo != round(lo) or hi != round(hi)):
            raise SchemaError(
                f"variable {self.name!r}: a count has whole bounds of 0 or more, got "
                f"[{lo:g}, {hi:g}]"
            )

    def _check_transform(self) -> None:
        if self.transform is None:
            return
        object.__setattr__(self, "transform", Transform(self.transform))
        where = f"variable {self.name!r}: transform"
        if self.kind is not Kind.CONTINUOUS:
            raise SchemaError(
                f"{where}: it is of continuous variables, not {self.kind.value} ones; remove it"
            )
        if self.bounds is None:
            raise SchemaError(f"{where}: it needs public bounds; write bounds = [lo, hi]")
        try:
            Transform(self.transform).check(self.bounds)
        except InputError as error:
            raise SchemaError(f"{where}: {error}") from None


@dataclass(frozen=True)
class Schema:
    """The variables of a study in their public order.

    >>> schema = Schema((Variable(name="age", kind=Kind.CONTINUOUS, bounds=(0, 120)),))
    >>> schema.names, len(schema), schema["age"].bounds
    (('age',), 1, (0, 120))
    """

    variables: tuple[Variable, ...]

    def __post_init__(self) -> None:
        names = [v.name for v in self.variables]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise SchemaError(f"variable {twice[0]!r} is declared twice; keep one declaration")
        if not names:
            raise SchemaError("a schema has at least one variable, got none")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The variables' names in schema order."""
        return tuple(v.name for v in self.variables)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """Position of a variable; an unknown name is a `SchemaError` with the closest match."""
        try:
            return self._positions[name]
        except KeyError:
            raise SchemaError(
                f"unknown variable {name!r}{did_you_mean(name, self.names)}"
            ) from None

    def __getitem__(self, name: str) -> Variable:
        return self.variables[self.index(name)]

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def __len__(self) -> int:
        return len(self.variables)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self.variables)

    def select(self, names: Sequence[str]) -> "Schema":
        """The schema of some of the variables, in the order given."""
        return Schema(tuple(self[name] for name in names))

    def to_json(self) -> list[JsonValue]:
        """The schema as a JSON array of variables."""
        return [v.to_json() for v in self.variables]

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return json_hash(self.to_json())


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """A remedy for a misspelt name: "; did you mean 'age'?", else the list of known names.

    >>> did_you_mean("aeg", ["age", "sex"])
    "; did you mean 'age'?"
    """
    folded = {k.casefold(): k for k in reversed(known)}
    close = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    shown = ", ".join(repr(k) for k in list(known)[:12])
    return f"; known: {shown}{', ...' if len(known) > 12 else ''}" if known else ""
