"""Compiled grow-shrink of one family: a Cholesky factor extended parent by parent."""

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.search_state import FLOOR, NOW, TOLERANCE, Problem, State, inlined, inner

__all__ = ["insert", "refine", "remove"]

Matrix = NDArray[np.float64]


@inner
def insert(state: State, child: int, parent: int) -> None:
    """Add a parent, in ascending order."""
    place = state.size[NOW, child]
    while place > 0 and state.parents[NOW, child, place - 1] > parent:
        state.parents[NOW, child, place] = state.parents[NOW, child, place - 1]
        place -= 1
    state.parents[NOW, child, place] = parent
    state.size[NOW, child] += 1


@inner
def remove(state: State, child: int, parent: int) -> None:
    """Take a parent out; the others keep their order."""
    kept = 0
    for i in range(state.size[NOW, child]):
        other = state.parents[NOW, child, i]
        if other != parent:
            state.parents[NOW, child, kept] = other
            kept += 1
    state.size[NOW, child] = kept


@inner
def refine(problem: Problem, state: State, child: int) -> None:
    """Add the best parent while one helps, take the worst out while that helps, until neither."""
    while True:
        _look_up(problem, state, child)
        parent = _addable(state, child)
        if parent >= 0:
            insert(state, child, parent)
            continue
        parent = state.worst[NOW, child]
        if parent < 0:
            return
        remove(state, child, parent)


@inlined
def _look_up(problem: Problem, state: State, child: int) -> None:
    """The score of a family and of its neighbours: as found before, or anew."""
    key = state.codes[1, child]
    for i in range(state.size[NOW, child]):
        key ^= state.codes[0, state.parents[NOW, child, i]]
    slot, gain, known_gain = key & (len(state.known_key) - 1), state.gain, state.known_gain
    if state.known_key[slot] == key:
        state.score[NOW, child] = state.known_score[slot]
        state.worst[NOW, child] = state.known_worst[slot]
        for other in range(len(state.order)):
            gain[NOW, child, other] = known_gain[slot, other]
        return
    _begin(problem, state, child)
    num_rows = 0
    for i in range(state.size[NOW, child]):
        num_rows = _condition(problem, state, child, state.parents[NOW, child, i], num_rows)
    _evaluate(problem, state, child)
    state.worst[NOW, child] = _removable(problem, state, child, num_rows)
    state.known_key[slot] = key
    state.known_score[slot] = state.score[NOW, child]
    state.known_worst[slot] = state.worst[NOW, child]
    for other in range(len(state.order)):
        known_gain[slot, other] = gain[NOW, child, other]


@inlined
def _addable(state: State, child: int) -> int:
    """The predecessor that raises the score of a child most, or -1."""
    gain, rank = state.gain, state.rank
    best, chosen, limit = TOLERANCE, -1, rank[child]
    for candidate in range(len(rank)):
        if gain[NOW, child, candidate] > best and rank[candidate] < limit:
            best, chosen = gain[NOW, child, candidate], candidate
    return chosen


@inner
def _begin(problem: Problem, state: State, child: int) -> None:
    """Residual covariances given no parents."""
    start, covariance, residual = problem.start, problem.covariance, state.residual
    for variable in range(len(start) - 1):
        low = start[variable]
        for i in range(low, start[variable + 1]):
            for j in range(low, start[variable + 1]):
                residual[i - low, j] = covariance[i, j]
    low = start[child]
    for i in range(low, start[child + 1]):
        for j in range(len(covariance)):
            residual[problem.width + i - low, j] = covariance[i, j]


@inlined
def _condition(problem: Problem, state: State, child: int, parent: int, num_rows: int) -> int:
    """Extend the Cholesky factor by the columns of one more parent; the number of its rows."""
    start, covariance, width = problem.start, problem.covariance, problem.width
    rows, residual, size = state.rows, state.residual, len(covariance)
    low, high, first = start[child], start[child + 1], start[parent]
    for column in range(first, start[parent + 1]):
        for j in range(size):
            rows[num_rows, j] = covariance[column, j]
        for i in range(num_rows):
            weight = rows[i, column]
            for j in range(size):
                rows[num_rows, j] -= weight * rows[i, j]
        scale = 1.0 / np.sqrt(max(residual[column - first, column], FLOOR))
        for j in range(size):
            rows[num_rows, j] *= scale
        for i in range(low, high):
            weight = rows[num_rows, i]
            for j in range(size):
                residual[width + i - low, j] -= weight * rows[num_rows, j]
        if width == 1:
            for j in range(size):
                residual[0, j] -= rows[num_rows, j] * rows[num_rows, j]
        else:
            for variable in range(len(start) - 1):
                left = start[variable]
                for i in range(left, start[variable + 1]):
                    for j in range(left, start[variable + 1]):
                        residual[i - left, j] -= rows[num_rows, i] * rows[num_rows, j]
        num_rows += 1
    return num_rows


@inlined
def _evaluate(problem: Problem, state: State, child: int) -> None:
    """Score a child given the parents conditioned on, and with each allowed one more."""
    begin, prior, size = problem.start, problem.prior, len(state.order)
    parents, num_parents = state.parents, state.size[NOW, child]
    low, width, weight, expected = begin[child], begin[child + 1] - begin[child], 0, 0.0
    for i in range(num_parents):
        parent = parents[NOW, child, i]
        weight += begin[parent + 1] - begin[parent]
        expected += prior[parent, child]
    records = _records(problem, state, child, child)
    here = _cost(problem, records) * width * weight
    _set_small(state, 0, 0, 0, low, width)
    log_det = _log_det(state.small, width, 0)
    state.score[NOW, child] = expected - problem.half * (log_det + here)
    state.num_scores[0] += size
    gain, least, residual = state.gain, problem.least, state.residual
    half, widest, variance = problem.half, problem.width, residual[0, low]
    for other in range(size):
        gain[NOW, child, other] = -np.inf
        start = begin[other]
        wide = begin[other + 1] - start
        if width == 1 and wide == 1:
            both, across = variance * residual[0, start], residual[widest, start]
            if not across * across > least[child, other] * both:
                continue
            change = np.log(max(1.0 - across * across / both, FLOOR))
        elif least[child, other] < np.inf:
            change = _log_ratio(problem, state, child, other, log_det)
        else:
            continue
        records_with = _records_with(problem, state, child, other, records)
        more = _cost(problem, records_with) * width * (weight + wide)
        gain[NOW, child, other] = prior[other, child] - half * (change + more - here)
    for i in range(num_parents):
        gain[NOW, child, parents[NOW, child, i]] = -np.inf


@inner
def _set_small(state: State, row: int, column: int, first: int, low: int, width: int) -> None:
    """Copy a square of residual covariances into the scratch matrix."""
    for i in range(width):
        for j in range(width):
            state.small[row + i, column + j] = state.residual[first + i, low + j]


@inner
def _log_ratio(problem: Problem, state: State, child: int, other: int, log_det: float) -> float:
    """How the log determinant of a child's residual covariance changes with one more parent."""
    low, start = problem.start[child], problem.start[other]
    width, wide = problem.start[child + 1] - low, problem.start[other + 1] - start
    for i in range(wide):
        for j in range(wide):
            state.small[i, j] = state.residual[i, start + j]
    for i in range(width):
        for j in range(wide):
            state.small[wide + i, j] = state.residual[problem.width + i, start + j]
        for j in range(width):
            state.small[wide + i, wide + j] = state.residual[i, low + j]
    change = _log_det(state.small, wide + width, wide) - log_det
    return float(min(max(change, np.log(FLOOR)), 0.0))


@inner
def _log_det(matrix: Matrix, size: int, skipped: int) -> float:
    """Log determinant by Cholesky, in place, of what the first `skipped` columns leave over."""
    total = 0.0
    for j in range(size):
        for k in range(j):
            matrix[j, j] -= matrix[j, k] * matrix[j, k]
        pivot = max(matrix[j, j], FLOOR)
        if j >= skipped:
            total += np.log(pivot)
        matrix[j, j] = np.sqrt(pivot)
        for i in range(j + 1, size):
            for k in range(j):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
            matrix[i, j] /= matrix[j, j]
    return total


@inner
def _cost(problem: Problem, records: float) -> float:
    """Penalty per parameter."""
    return float(problem.penalty * np.log(records) / records)


@inner
def _records(problem: Problem, state: State, child: int, left_out: int) -> float:
    """The smallest pair count of a family without one of its parents (the child: with all)."""
    smallest = float(problem.counts[child, child])
    if problem.is_complete:
        return smallest
    for i in range(state.size[NOW, child]):
        parent = state.parents[NOW, child, i]
        if parent != left_out:
            smallest = min(smallest, problem.counts[child, parent])
            for j in range(i + 1):
                other = state.parents[NOW, child, j]
                if other != left_out:
                    smallest = min(smallest, problem.counts[parent, other])
    return smallest


@inlined
def _records_with(problem: Problem, state: State, child: int, other: int, records: float) -> float:
    """The smallest pair count of a family with one more parent."""
    if problem.is_complete:
        return records
    smallest = float(min(records, problem.counts[other, other], problem.counts[other, child]))
    for i in range(state.size[NOW, child]):
        smallest = min(smallest, problem.counts[other, state.parents[NOW, child, i]])
    return smallest


@inlined
def _removable(problem: Problem, state: State, child: int, num_rows: int) -> int:
    """The parent whose removal raises the score of a child most, or -1.

    With K the precision of the parents' columns and B the regression of the child's, scaled to
    unit residual covariance, taking parent j out adds log |K_jj + B_j' B_j| - log |K_jj| to the
    child's log determinant.
    """
    if state.size[NOW, child] == 0:
        return -1
    _invert(problem, state, child, num_rows)
    width = problem.start[child + 1] - problem.start[child]
    here = _cost(problem, _records(problem, state, child, child)) * width * num_rows
    best, chosen, column = TOLERANCE, -1, 0
    for i in range(state.size[NOW, child]):
        parent = state.parents[NOW, child, i]
        wide = problem.start[parent + 1] - problem.start[parent]
        if not problem.required[child, parent]:
            change = -here
            for last, sign in ((num_rows, -1.0), (num_rows + width, 1.0)):
                change += sign * _log_det_precision(state, column, wide, last)
            fewer = _cost(problem, _records(problem, state, child, parent)) * width
            change += fewer * (num_rows - wide)
            gained = -problem.half * change - problem.prior[parent, child]
            if gained > best:
                best, chosen = gained, parent
        column += wide
    return chosen


@inlined
def _invert(problem: Problem, state: State, child: int, num_rows: int) -> None:
    """Invert the Cholesky factor of the parents' columns, the child's columns last."""
    low = problem.start[child]
    width = problem.start[child + 1] - low
    _set_small(state, 0, 0, 0, low, width)
    _log_det(state.small, width, 0)
    for i in range(width):
        for j in range(i + 1):
            state.rows[num_rows + j, low + i] = state.small[i, j]
    row = 0
    for i in range(state.size[NOW, child] + 1):
        variable = child if i == state.size[NOW, child] else state.parents[NOW, child, i]
        for column in range(problem.start[variable], problem.start[variable + 1]):
            for j in range(row + 1):
                value = 1.0 if j == row else 0.0
                for k in range(j, row):
                    value -= state.rows[k, column] * state.inverse[k, j]
                state.inverse[row, j] = value / state.rows[row, column]
            row += 1


@inner
def _log_det_precision(state: State, column: int, wide: int, last: int) -> float:
    """Log determinant of the precision at some columns, from the first rows of the inverse."""
    for i in range(wide):
        for j in range(i + 1):
            state.small[i, j] = 0.0
            for k in range(column + i, last):
                state.small[i, j] += state.inverse[k, column + i] * state.inverse[k, column + j]
    return _log_det(state.small, wide, 0)
