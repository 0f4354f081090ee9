"""What a study must leave out where each site's sums are released by themselves."""

from collections.abc import Iterator

from fedcausal.schema import Schema
from fedcausal.study_file.errors import Problem
from fedcausal.study_file.sections import (
    DiscoverySection,
    FederationSection,
    ModelSection,
    PrivacySection,
)

__all__ = ["robust_problems"]


def robust_problems(
    schema: Schema,
    federation: FederationSection,
    *,
    privacy: PrivacySection,
    discovery: DiscoverySection,
    model: ModelSection,
) -> list[Problem]:
    """Everything that has no form in which one site's part is released and compared.

    What is left are the Gram and the families, in which a site that lies can be seen. Histograms,
    votes and tables of one site have small cells, and say too much of it.
    """
    if not federation.robust:
        return []
    return [*_of_sums(discovery, model), *_of_records(schema, privacy)]


def _of_sums(discovery: DiscoverySection, model: ModelSection) -> Iterator[Problem]:
    why = "with [federation] robust each site's sums are released by themselves"
    wanted = (
        ("discovery.votes", discovery.votes, False, "votes = false"),
        ("discovery.heterogeneity", discovery.heterogeneity, False, "heterogeneity = false"),
        ("discovery.tests", discovery.tests, "gram", 'tests = "gram"'),
        ("discovery.site_effects", discovery.site_effects, "center", 'site_effects = "center"'),
        ("discovery.resampling", discovery.resampling, "wishart", 'resampling = "wishart"'),
        ("model.knots", model.knots, 0, "knots = 0"),
        ("model.calibration", model.calibration, 0.0, "calibration = 0"),
        ("model.variance", model.variance, "constant", 'variance = "constant"'),
        ("model.mechanism", model.mechanism, "closed-form", 'mechanism = "closed-form"'),
    )
    for key, came, expected, remedy in wanted:
        if came != expected:
            yield key, f"{why}, which has no form for this; write {remedy}"
    if model.family == "nodeflow":
        yield "model.family", f'{why}, and training has no such form; write family = "gram"'


def _of_records(schema: Schema, privacy: PrivacySection) -> Iterator[Problem]:
    for part in ("graph", "model", "effects"):
        if getattr(privacy, part) is not None:
            yield (
                f"privacy.{part}",
                "sums that are compared site by site are exact in this version; remove the "
                "epsilon, or [federation] robust",
            )
    if privacy.incomplete != "drop":
        yield (
            "privacy.incomplete",
            "one site's counts of what its records lack say too much of it; write "
            'incomplete = "drop"',
        )
    for variable in schema:
        if variable.is_numeric and variable.bounds is None:
            yield (
                f"variables.{variable.name}.bounds",
                "with [federation] robust every number needs declared bounds; write "
                "bounds = [lowest, highest]",
            )
