"""Structural causal models with known mechanisms: what the truth is in `models.py`.

The families (triangle, chain, fork, collider, simpson, large backdoor) are those of Javaloy,
Sanchez-Martin and Valera (2023), "Causal normalizing flows", restated as functions of standard
normal noise. Three variants do not exist there and are defined here: `simpson-linear` and
`backdoor-linear` keep the graphs and the directions of the nonlinear effects, `collider-nonlinear`
bends both arms of the linear one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

__all__ = ["CASES", "Case", "Node"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Node:
    """A variable: the positions of its parents, and value = equation(*parents, noise)."""

    parents: tuple[int, ...]
    equation: Callable[..., Matrix]


@dataclass(frozen=True)
class Case:
    """A named model whose nodes are in topological order; all noise is standard normal."""

    name: str
    nodes: tuple[Node, ...]

    @property
    def size(self) -> int:
        """Number of variables."""
        return len(self.nodes)

    @property
    def names(self) -> tuple[str, ...]:
        """x001, x002, ...: a study keeps its variables by name, which is then their order."""
        return tuple(f"x{j + 1:03d}" for j in range(self.size))

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(parent, child) positions."""
        return [(parent, j) for j, node in enumerate(self.nodes) for parent in node.parents]

    def below(self, node: int) -> list[int]:
        """Descendants of a node, without itself."""
        found = {node}
        for j, candidate in enumerate(self.nodes):
            if found & set(candidate.parents):
                found.add(j)
        return sorted(found - {node})

    def push(self, noise: Matrix, do: Mapping[int, float] | None = None) -> Matrix:
        """Rows (num_rows, size) that this noise gives, with the nodes of `do` clamped."""
        rows = np.empty_like(noise)
        for j, node in enumerate(self.nodes):
            if do and j in do:
                rows[:, j] = do[j]
            else:
                rows[:, j] = node.equation(*(rows[:, p] for p in node.parents), noise[:, j])
        return rows

    def draw(
        self, num_rows: int, rng: np.random.Generator, do: Mapping[int, float] | None = None
    ) -> Matrix:
        """Rows of fresh noise."""
        return self.push(rng.standard_normal((num_rows, self.size)), do)


def softplus(value: Matrix | float) -> Matrix:
    """log(1 + exp(value))."""
    return np.logaddexp(0.0, value)


def _own(noise: Matrix) -> Matrix:
    return noise


def _shifted(noise: Matrix) -> Matrix:
    return 2.0 - noise


def _layer(parent: Matrix, noise: Matrix | float) -> Matrix:
    return softplus(parent + 1.0) + softplus(0.5 + noise) - 3.0


def _laplace(left: Matrix, right: Matrix, noise: Matrix) -> Matrix:
    """Laplace noise of scale 0.6 about a curve, through the normal's distribution function."""
    middle = ndtr(noise) - 0.5
    spread = 0.6 * np.sign(middle) * np.log1p(-2.0 * np.abs(middle))
    return np.asarray(2.0 - softplus((1.3 * left + right) / 3.0 + 1.0) - spread)


_ROOT10 = float(np.sqrt(10.0))
_TWO_ROADS = ((), (0,), (0,), (1,), (2,), (3,), (4,), (5,), (6, 7))
_BACKDOOR: tuple[Callable[..., Matrix], ...] = (
    lambda u: softplus(1.8 * u) - 1.0,
    lambda a, u: 0.25 * u + 1.5 * _layer(a, 0.0),
    *[_layer] * 5,
    lambda f, u: 0.3 * u + softplus(f + 1.0) - 1.0,
    _laplace,
)
_BACKDOOR_LINEAR: tuple[Callable[..., Matrix], ...] = (
    _own,
    lambda a, u: a + 0.25 * u,
    *[lambda a, u: 0.8 * a + 0.5 * u] * 5,
    lambda f, u: 0.8 * f + 0.3 * u,
    lambda g, h, u: -0.4 * g - 0.3 * h + 0.8 * u,
)

CASES = {
    case.name: case
    for case in (
        Case(
            "triangle-linear",
            (
                Node((), lambda u: u + 1.0),
                Node((0,), lambda a, u: 10.0 * a - u),
                Node((0, 1), lambda a, b, u: 0.5 * b + a + u),
            ),
        ),
        Case(
            "triangle-nonlinear",
            (
                Node((), _own),
                Node((0,), lambda a, u: 2.0 * a**2 + u),
                Node((0, 1), lambda a, b, u: 20.0 * expit(b**2 - a) + u),
            ),
        ),
        Case(
            "chain-linear",
            (
                Node((), _own),
                Node((0,), lambda a, u: 10.0 * a - u),
                Node((1,), lambda b, u: 0.25 * b + 2.0 * u),
            ),
        ),
        Case(
            "chain-nonlinear",
            (
                Node((), _own),
                Node((0,), lambda a, u: np.exp(a / 2.0) + u / 4.0),
                Node((1,), lambda b, u: (b - 5.0) ** 3 / 15.0 + u),
            ),
        ),
        Case(
            "fork-linear",
            (
                Node((), _own),
                Node((), _shifted),
                Node((0, 1), lambda a, b, u: 0.25 * b - 1.5 * a + 0.5 * u),
                Node((2,), lambda c, u: c + 0.25 * u),
            ),
        ),
        Case(
            "fork-nonlinear",
            (
                Node((), _own),
                Node((), _own),
                Node((0, 1), lambda a, b, u: 4.0 * expit(a + b) - b**2 + u / 2.0),
                Node((2,), lambda c, u: 20.0 * expit(c - c**2 / 2.0) + u),
            ),
        ),
        Case(
            "collider-linear",
            (
                Node((), _own),
                Node((), _shifted),
                Node((0, 1), lambda a, b, u: 0.25 * b - 0.5 * a + 0.5 * u),
            ),
        ),
        Case(
            "collider-nonlinear",
            (
                Node((), _own),
                Node((), _shifted),
                Node((0, 1), lambda a, b, u: 2.0 * np.tanh(2.0 * a) + b**2 / 4.0 + 0.5 * u),
            ),
        ),
        Case(
            "simpson-linear",
            (
                Node((), _own),
                Node((0,), lambda a, u: 1.0 - 0.5 * a + 0.4 * u),
                Node((0, 1), lambda a, b, u: b + 1.5 * a - 1.0 + 0.6 * u),
                Node((2,), lambda c, u: (c - 4.0) / 5.0 + 3.0 + u / _ROOT10),
            ),
        ),
        Case(
            "simpson-nonlinear",
            (
                Node((), _own),
                Node((0,), lambda a, u: softplus(1.0 - a) + np.sqrt(0.15) * u),
                Node((0, 1), lambda a, b, u: np.tanh(2 * b) + 1.5 * a - 1.0 + np.tanh(u)),
                Node((2,), lambda c, u: (c - 4.0) / 5.0 + 3.0 + u / _ROOT10),
            ),
        ),
        Case(
            "backdoor-linear",
            tuple(Node(p, f) for p, f in zip(_TWO_ROADS, _BACKDOOR_LINEAR, strict=True)),
        ),
        Case(
            "backdoor-nonlinear",
            tuple(Node(p, f) for p, f in zip(_TWO_ROADS, _BACKDOOR, strict=True)),
        ),
    )
}
