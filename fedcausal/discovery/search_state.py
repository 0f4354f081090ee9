"""What the compiled order search works on: a fixed problem, a changing state."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FLOOR",
    "NOW",
    "SAVED",
    "TOLERANCE",
    "Problem",
    "State",
    "compiled",
    "inlined",
    "inner",
]

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Function = TypeVar("Function", bound=Callable[..., Any])

# A residual variance below this is a column that the ridge of the score alone keeps apart.
FLOOR = 1e-12

# A change must gain more than this: below it, floating point decides.
TOLERANCE = 1e-8

# Layers of the families in a state: as they are, and as they were before a walk began.
NOW, SAVED = 0, 1


class Problem(NamedTuple):
    """What does not change during a search over d variables with p columns.

    Attributes
    ----------
    covariance
        (p, p), the columns of a variable side by side.
    start
        (d + 1,): variable i owns the columns `start[i]` to `start[i + 1]`.
    width
        Columns of the widest variable.
    counts
        (d, d): effective pair counts.
    is_complete
        Whether all counts are equal.
    half
        Half of the largest count.
    penalty
        Factor of the BIC penalty.
    prior
        (d, d) [parent, child]: added to the score of a family that has the edge.
    least
        (d, d) [child, candidate]: share of the child's residual variance that a candidate must
        explain for its gain to be above zero; infinite where the edge is forbidden. Cheaper to
        compare with than a logarithm.
    required
        (d, d) [child, parent].
    before
        (d, d) [variable, other]: the other must stand before the variable.
    """

    covariance: Matrix
    start: Integers
    width: int
    counts: Matrix
    is_complete: bool
    half: float
    penalty: float
    prior: Matrix
    least: Matrix
    required: Flags
    before: Flags


class State(NamedTuple):
    """An order with its families, and scratch space; the kernels change all of it in place.

    Attributes
    ----------
    order, rank
        (d,): the causal order and its inverse.
    luck
        (d, d) [variable, position]: among positions of the same score, the one with most of it is
        taken; where all have the same, a variable stays.
    size, parents
        (2, d) and (2, d, d): the first `size[NOW, i]` entries of `parents[NOW, i]` are the
        parents of i, in ascending order; `SAVED` holds those before a walk, for the children that
        it touched.
    score
        (2, d): of each family.
    gain
        (2, d, d) [child, candidate]: by how much one more parent raises the score of a child;
        -inf where it does not, or must not.
    worst
        (2, d): the parent whose removal raises the score of a child most; -1 where none does.
    touched
        (d,): children whose family has been saved.
    codes
        (2, d): random bits per variable, as parent and as child; a family's key is the exclusive
        or of its members' bits.
    known_key, known_score, known_worst, known_gain
        (s,), (s,), (s,) and (s, d), s a power of two: families found before, each in the row that
        the low bits of its key name; a newer one takes the row of an older one.
    rows
        (p, p): the first k rows are L^-1 S[P, :] for the k columns of the parents P that are
        worked on, with L the Cholesky factor of their covariance S[P, P].
    inverse
        (p, p): the inverse of L.
    residual
        (2 m, p): residual covariances given P: of each column with those of its own variable in
        the first m rows, of the child's columns with all others in the last m.
    small
        (2 m, 2 m): one or two blocks.
    num_scores
        (1,): families scored so far.
    """

    order: Integers
    rank: Integers
    luck: Matrix
    size: Integers
    parents: Integers
    score: Matrix
    gain: Matrix
    worst: Integers
    touched: Flags
    codes: Integers
    known_key: Integers
    known_score: Matrix
    known_worst: Integers
    known_gain: Matrix
    rows: Matrix
    inverse: Matrix
    residual: Matrix
    small: Matrix
    num_scores: Integers


def compiled(function: Function) -> Function:
    """Compile a kernel on first use and keep the machine code, where a folder can be written."""
    return _jit(function, {"no_cfunc_wrapper": True})


def inner(function: Function) -> Function:
    """Compile what only kernels call: without the door from Python, in half the time."""
    return _jit(function, {"no_cpython_wrapper": True, "no_cfunc_wrapper": True})


def inlined(function: Function) -> Function:
    """Paste into its only caller, which is then optimised once, not once per level."""
    return _jit(function, {"inline": "always"})


def _jit(function: Function, options: dict[str, Any]) -> Function:
    try:
        kernel = numba.njit(cache=True, error_model="numpy", **options)(function)
    except RuntimeError:  # no such folder: compile anew in each process
        kernel = numba.njit(error_model="numpy", **options)(function)
    return cast(Function, kernel)
