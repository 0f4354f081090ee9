"""Which population an effect is about: all sites' records, one site's own, or a target's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedcausal.effects.contrast import Contrast
from fedcausal.effects.population_name import POOLED, Population, named_population
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.frames import read_frame, source_of
from fedcausal.model.scm import StructuralCausalModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEWEST_RECORDS", "POOLED", "Population", "covariates_of", "population_of"]

FloatArray = NDArray[np.float64]

FEWEST_RECORDS = 30
"""Records below which no average over them is told."""


def population_of(text: str, *, has_records: bool, has_means: bool) -> Population:
    """Read a population's name, and check that what it needs is there.

    >>> population_of("site north", has_records=True, has_means=False).words
    'site north'

    Raises
    ------
    InputError
        For another kind of population, or one without its covariates; the message says what to
        add.
    """
    whose = named_population(text)
    kind = whose.kind
    if kind == POOLED and has_records:
        raise InputError(
            'effects.population: records were given; say whose they are: population "site NAME" '
            'or "target NAME"'
        )
    if kind == "site" and (has_means or not has_records):
        raise InputError(
            f"effects.population: {text!r}: a site's own average is computed at the site from its "
            "own records, which do not leave it: add records (--records FILE), and no means"
        )
    if kind == "target" and has_means == has_records:
        raise InputError(
            f"effects.population: {text!r}: a target population is told by a table of its "
            "covariates (--records FILE) or by their means (--mean age=70); give one of the two"
        )
    return whose


def covariates_of(
    model: StructuralCausalModel,
    question: Contrast,
    graph: Graph,
    frame: "pd.DataFrame",
    population: Population,
) -> Mapping[str, FloatArray]:
    """The columns of a population's records over which the effect is standardised.

    They are the outcome's causes that the treatment does not change. One that the records lack
    is drawn from its mechanism; one whose own causes are lacking cannot be.

    Privacy: the records stay where this runs; only the average is told, of 30 records or more.

    Raises
    ------
    InputError
        When there are too few records, a value is missing, or a column's causes are lacking.
    """
    treatment, outcome = question.treatment.name, question.outcome.name
    if len(frame) < FEWEST_RECORDS:
        raise InputError(
            f"effects.population: {population.words} is too small: {len(frame)} records, and at "
            f"least {FEWEST_RECORDS} are needed for an average over them"
        )
    changed = graph.descendants(treatment) | {treatment}
    needed = [n for n in model.graph.nodes if n in model.graph.ancestors(outcome) - changed]
    held = [n for n in needed if n in frame.columns]
    if needed and not held:
        raise InputError(
            f"{source_of(frame)}: none of the outcome's causes is a column; add "
            f"{', '.join(needed)}"
        )
    for name in held:
        lacking = [parent for parent in model.graph.parents(name) if parent not in held]
        if lacking:
            raise InputError(
                f"{source_of(frame)}:{lacking[0]}: the column causes {name!r}, which is given; "
                f"add it, or leave {name!r} out"
            )
    columns = read_frame(frame, model.schema, held)
    for name, values in columns.items():
        if missing := int(np.isnan(values).sum()):
            raise InputError(
                f"{source_of(frame)}:{name}: {missing} missing values; fill them in or drop the "
                "rows"
            )
    return columns
