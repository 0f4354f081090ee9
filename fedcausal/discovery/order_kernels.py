"""Compiled moves of the order search: one variable walks the order, families adapt."""

from fedcausal.discovery.family_kernels import insert, refine, remove
from fedcausal.discovery.search_state import (
    NOW,
    SAVED,
    TOLERANCE,
    Problem,
    State,
    compiled,
    inlined,
    inner,
)

__all__ = ["climb_some"]


@compiled
def climb_some(problem: Problem, state: State, first: int, last: int) -> int:
    """Move the variables from `first` up to `last` to their best positions; how many gained.

    With an empty range, make every family fit the order instead. (One entry: each would be
    compiled with its own copy of all that it calls.)
    """
    if first == last:
        for child in range(len(state.order)):
            _adapt(problem, state, child)
    gained = 0
    for variable in range(first, last):
        gained += _move(problem, state, variable)
    return gained


@inlined
def _adapt(problem: Problem, state: State, child: int) -> None:
    """Keep the parents that stand before a child, and required ones; then grow and shrink."""
    for i in range(state.size[NOW, child] - 1, -1, -1):
        parent = state.parents[NOW, child, i]
        if state.rank[parent] > state.rank[child]:
            remove(state, child, parent)
    for parent in range(len(state.order)):
        if problem.required[child, parent] and not _has(state, child, parent):
            insert(state, child, parent)
    refine(problem, state, child)


@inlined
def _move(problem: Problem, state: State, variable: int) -> bool:
    """Move one variable to its best position, the luckiest of equals; whether that helped."""
    here = state.rank[variable]
    best, gained, luck = here, 0.0, state.luck
    for walk in range(3):
        goal = best if walk == 2 else walk * (len(state.order) - 1)
        step = 1 if goal > here else -1
        total, position = 0.0, here
        while position != goal and _may_step(problem, state, position, step):
            total += _swap(problem, state, position + min(step, 0))
            position += step
            if total > gained + TOLERANCE:
                best, gained = position, total
            elif total > gained - TOLERANCE and luck[variable, position] > luck[variable, best]:
                best = position
        if walk < 2:
            _restore(state, position, here)
    state.touched[:] = False
    return bool(gained > 0.0)


@inlined
def _may_step(problem: Problem, state: State, position: int, step: int) -> bool:
    """Whether the variable at a position may change places with its neighbour."""
    if position + step < 0 or position + step >= len(state.order):
        return False
    low = position + min(step, 0)
    return not problem.before[state.order[low + 1], state.order[low]]


@inlined
def _swap(problem: Problem, state: State, position: int) -> float:
    """Exchange two neighbours of the order, adapt their families; the change of the score."""
    first, second = state.order[position], state.order[position + 1]
    state.order[position], state.order[position + 1] = second, first
    state.rank[first], state.rank[second] = position + 1, position
    change = 0.0
    for child, other in ((second, first), (first, second)):
        lost = child == second and _has(state, child, other)
        if lost or (child == first and state.gain[NOW, child, other] > TOLERANCE):
            _save(state, child)
            change -= state.score[NOW, child]
            if lost:
                remove(state, child, other)
            refine(problem, state, child)
            change += state.score[NOW, child]
    return change


@inner
def _has(state: State, child: int, parent: int) -> bool:
    for i in range(state.size[NOW, child]):  # noqa: SIM110 - kernels cannot hold generators
        if state.parents[NOW, child, i] == parent:
            return True
    return False


@inlined
def _save(state: State, child: int) -> None:
    if not state.touched[child]:
        state.touched[child] = True
        _copy(state, child, NOW, SAVED)


@inlined
def _restore(state: State, position: int, here: int) -> None:
    """Undo a walk from `here` to `position`, of the order and of all families touched."""
    variable = state.order[position]
    step = 1 if here > position else -1
    for place in range(position, here, step):
        state.order[place] = state.order[place + step]
        state.rank[state.order[place]] = place
    state.order[here] = variable
    state.rank[variable] = here
    for child in range(len(state.order)):
        if state.touched[child]:
            state.touched[child] = False
            _copy(state, child, SAVED, NOW)


@inner
def _copy(state: State, child: int, source: int, target: int) -> None:
    """Copy one family between the two layers."""
    state.size[target, child] = state.size[source, child]
    state.score[target, child] = state.score[source, child]
    state.worst[target, child] = state.worst[source, child]
    for i in range(state.size[source, child]):
        state.parents[target, child, i] = state.parents[source, child, i]
    for i in range(len(state.order)):
        state.gain[target, child, i] = state.gain[source, child, i]
