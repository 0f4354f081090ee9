"""How a population is named: "pooled", "site NAME" or "target NAME"."""

from dataclasses import dataclass
from typing import Literal, cast

from fedcausal.errors import InputError

__all__ = ["POOLED", "Population", "named_population"]

POOLED = "pooled"
KINDS = (POOLED, "site", "target")


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """A population by kind and name; "site" and "target" may go without a name."""

    kind: Literal["pooled", "site", "target"] = "pooled"
    name: str = ""

    @property
    def words(self) -> str:
        """The population as it was named."""
        return f"{self.kind} {self.name}".rstrip()


def named_population(text: str) -> Population:
    """Read a population's name.

    >>> named_population("site  north").words
    'site north'

    Raises
    ------
    InputError
        For a population of another kind.
    """
    kind, _, name = text.strip().partition(" ")
    if kind not in KINDS or (kind == POOLED and name):
        raise InputError(
            f'effects.population: expected "pooled", "site NAME" or "target NAME", got {text!r}'
        )
    return Population(kind=cast(Literal["pooled", "site", "target"], kind), name=name.strip())
