"""All private releases that an honest run of a study makes, known before the first of them."""

from collections.abc import Iterator, Sequence

from fedcausal.model.training_plan import training_plan
from fedcausal.private.effects_budget import effects_are_private, effects_budget
from fedcausal.private.graph_budget import graph_budget, is_private
from fedcausal.private.model_budget import model_budget, model_epsilon
from fedcausal.statistics.implied import fits_privately, trains_flow
from fedcausal.statistics.noisy_tables_kind import round_multipliers
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import Event, GaussianRelease
from fedcausal_privacy.dp.ledger import LedgerEntry

__all__ = ["cost_with", "planned_releases"]


def planned_releases(study: Study) -> tuple[Event, ...]:
    """Every release that has an epsilon, at the noise multipliers that the study fixes.

    A cost depends on multipliers alone, so sensitivities are 1 here. Training that stops early, or
    tables that need fewer rounds, cost less; a repeated attempt costs more.

    Privacy: reads the study alone.
    """
    return tuple(_releases(study))


def cost_with(entries: Sequence[LedgerEntry], planned: Sequence[Event], delta: float) -> float:
    """Epsilon at `delta` of what was charged and what is planned, together."""
    return epsilon_of([*(entry.event for entry in entries), *planned], delta)


def _releases(study: Study) -> Iterator[Event]:
    if is_private(study) and study.knowledge.graph is None:
        if study.discovery.tests == "tables":
            yield from map(_release, round_multipliers(study))
        else:
            yield from graph_budget(study).events()
    if fits_privately(study):
        yield from model_budget(study).events()
    if effects_are_private(study):
        events = effects_budget(study).events()
        yield from (e for e in events if e.name != "aipw" or _compares_levels(study))
    if trains_flow(study) and model_epsilon(study) is not None:
        yield from _trained(study)


def _trained(study: Study) -> Iterator[Event]:
    plan = training_plan(
        study.model, epsilon=model_epsilon(study), delta=float(study.privacy.delta)
    )
    event = plan.event()
    for _ in range(plan.rounds):
        if event is not None:
            yield event
        if plan.check_multiplier is not None:
            yield _release(plan.check_multiplier)


def _compares_levels(study: Study) -> bool:
    schema = study.schema()
    return any(schema[query.treatment].num_levels for query in study.effects.pooled)


def _release(multiplier: float) -> Event:
    return GaussianRelease(sensitivity=1.0, noise_multiplier=multiplier, name="planned")
