"""Formulas of a study file: arithmetic over variables, read by a parser that runs nothing else."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError

__all__ = ["Formula"]

FloatArray = NDArray[np.float64]

MAX_LENGTH = 500
"""Characters; nobody reads a longer formula."""
MAX_PARTS = 200
MAX_EXPONENT = 8.0

_TWO: Mapping[type[ast.operator], Callable[[FloatArray, FloatArray], FloatArray]] = (
    MappingProxyType(
        {
            ast.Add: np.add,
            ast.Sub: np.subtract,
            ast.Mult: np.multiply,
            ast.Div: np.divide,
            ast.Pow: np.power,
        }
    )
)
_ONE: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {"log": np.log, "exp": np.exp, "sqrt": np.sqrt, "abs": np.abs}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """Arithmetic of variables and numbers: + - * / **, log, exp, sqrt and abs.

    >>> formula = Formula.parse("weight / height ** 2")
    >>> formula.names
    ('height', 'weight')
    >>> float(formula.evaluate({"weight": np.array([80.0]), "height": np.array([2.0])})[0])
    20.0
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str) -> "Formula":
        """Read a formula.

        Raises
        ------
        InputError
            It holds something else than such arithmetic, or names no variable.
        """
        if len(text) > MAX_LENGTH:
            raise InputError(f"a formula has {MAX_LENGTH} characters at most, got {len(text)}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise InputError(f"{text!r} is no formula; write for example a / b ** 2") from None
        if sum(1 for _ in ast.walk(tree)) > MAX_PARTS:
            raise InputError("a formula of so many parts is not read; make it shorter")
        names: set[str] = set()
        _check(tree, names)
        if not names:
            raise InputError(f"{text!r} names no variable; a formula is made of other variables")
        return cls(text=text.strip(), names=tuple(sorted(names)), _tree=tree)

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """The formula's value on columns; nan where it has none (a division by 0, a log of -1)."""
        with np.errstate(all="ignore"):
            found = np.asarray(_evaluate(self._tree, columns), dtype=np.float64)
        return np.where(np.isfinite(found), found, np.nan)


def _check(node: ast.expr, names: set[str]) -> None:
    """Collect the names; refuse everything that is not arithmetic."""
    if isinstance(node, ast.Name):
        names.add(node.id)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise InputError(f"a formula has variables and numbers, got {node.value!r}")
    elif isinstance(node, ast.BinOp) and type(node.op) in _TWO:
        if isinstance(node.op, ast.Pow):
            _check_exponent(node.right)
        _check(node.left, names)
        _check(node.right, names)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _check(node.operand, names)
    elif isinstance(node, ast.Call) and _is_known(node):
        _check(node.args[0], names)
    else:
        usable = ", ".join(_ONE)
        raise InputError(
            f"a formula has + - * / ** and {usable} of one variable or number, got "
            f"{ast.unparse(node)!r}"
        )


def _is_known(node: ast.Call) -> bool:
    return (
        isinstance(node.func, ast.Name)
        and node.func.id in _ONE
        and len(node.args) == 1
        and not node.keywords
    )


def _check_exponent(node: ast.expr) -> None:
    """A number, not too large: what a power of a variable may be."""
    value = node.operand if isinstance(node, ast.UnaryOp) else node
    number = value.value if isinstance(value, ast.Constant) else None
    if not isinstance(number, int | float) or abs(number) > MAX_EXPONENT:
        raise InputError(f"an exponent is a number up to {MAX_EXPONENT:g}")


def _evaluate(node: ast.expr, columns: Mapping[str, FloatArray]) -> FloatArray:
    if isinstance(node, ast.Name):
        return columns[node.id]
    if isinstance(node, ast.Constant):
        return np.asarray(node.value, dtype=np.float64)
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, columns), _evaluate(node.right, columns)
        return _TWO[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
        return sign * _evaluate(node.operand, columns)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _ONE[node.func.id](_evaluate(node.args[0], columns))
    raise InputError("a formula holds something that is no arithmetic")
