"""Fitted functions as nodes of an ONNX graph, in double precision."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from fedcausal.errors import InputError
from fedcausal.model.curves import cubics, ends_of
from fedcausal.model.family_basis import FamilyBasis, FloatArray, Range
from fedcausal.model.family_terms import Factor, Knots, coarse

__all__ = ["GraphWriter", "linear_form", "onnx_modules"]

INSTALL = 'onnx is not installed; type: pip install "fedcausal[onnx]"'


def onnx_modules() -> tuple[Any, Any]:
    """`onnx.helper` and `onnx.numpy_helper`; an `InputError` says how to install them."""
    try:
        from onnx import helper, numpy_helper
    except ImportError:
        raise InputError(INSTALL) from None
    return helper, numpy_helper


class GraphWriter:
    """Collects the nodes and constants of a graph; every value has a name of its own."""

    def __init__(self) -> None:
        self._helper, self._numpy = onnx_modules()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """The output of a new node of one output."""
        output = name or f"value:{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def sorted_rows(self, values: str, count: int) -> str:
        """Each row in increasing order."""
        output = f"value:{len(self.nodes)}"
        names = [output, f"{output}_at"]
        self.nodes.append(
            self._helper.make_node(
                "TopK", [values, self.constant(np.array([count]))], names, largest=0
            )
        )
        return output

    def constant(self, value: "NDArray[Any] | float") -> str:
        """A constant; numbers become doubles, integers stay."""
        array = np.asarray(value)
        array = array if array.dtype in (np.int64, np.bool_) else array.astype(np.float64)
        name = f"constant:{len(self.constants)}"
        self.constants.append(self._numpy.from_array(array, name))
        return name

    def column(self, values: str) -> str:
        """(num_records,) as (num_records, 1)."""
        return self.add("Unsqueeze", values, self.constant(np.array([1])))

    def columns_of(self, table: str, picks: "NDArray[np.int64]") -> str:
        """Some columns of a table."""
        return self.add("Gather", table, self.constant(picks), axis=1)

    def sum_of(self, values: str, *, keep: bool) -> str:
        """The sum along the last axis."""
        axes = self.constant(np.array([-1]))
        return self.add("ReduceSum", values, axes, keepdims=int(keep))


def linear_form(
    writer: GraphWriter,
    basis: FamilyBasis,
    coefficients: FloatArray,
    columns: Mapping[str, str],
    records: str,
) -> str:
    """Intercepts plus features times slopes, (num_records, num_outputs), of named columns.

    `records` is any value of shape (num_records,).
    """
    intercepts = writer.constant(coefficients[:1])
    if not basis.terms:
        zeros = writer.column(writer.add("Mul", _finite(writer, records), writer.constant(0.0)))
        return writer.add("Add", zeros, intercepts)
    factors = list({factor: None for term in basis.terms for factor in term})
    table, row = _factor_table(writer, basis, factors, columns)
    longest = max(len(term) for term in basis.terms)
    padded = [[*(row[f] for f in t), *[0] * (longest - len(t))] for t in basis.terms]
    picks = np.array(padded, dtype=np.int64).T
    features = writer.columns_of(table, picks[0])
    for others in picks[1:]:
        features = writer.add("Mul", features, writer.columns_of(table, others))
    product = writer.add("MatMul", features, writer.constant(coefficients[1:]))
    return writer.add("Add", product, intercepts)


def _finite(writer: GraphWriter, records: str) -> str:
    """The same with zeros for what is missing: it gives a shape, not a value."""
    missing = writer.add("IsNaN", records)
    return writer.add("Where", missing, writer.constant(0.0), records)


def _factor_table(
    writer: GraphWriter,
    basis: FamilyBasis,
    factors: list[Factor],
    columns: Mapping[str, str],
) -> tuple[str, dict[Factor, int]]:
    """(num_records, 1 + num_factors): a one, and every factor; and where each factor is."""
    scaled = {n: _scaled(writer, columns[n], basis.ranges[n]) for n in basis.ranges}
    parts, row, width = [], dict[Factor, int](), 1
    bumps: dict[tuple[str, bool], int] = {}
    for factor in factors:
        key = factor.variable, factor.is_coarse
        if factor.bump is not None:
            if key not in bumps:
                knots = basis.knots[factor.variable]
                knots = coarse(knots) if factor.is_coarse else knots
                part, count = _splines(writer, scaled[factor.variable], knots)
                bumps[key] = width
                parts.append(part)
                width += count
            row[factor] = bumps[key] + factor.bump
            continue
        if factor.level is not None:
            level = writer.constant(float(factor.level))
            part = writer.add("Cast", writer.add("Equal", columns[factor.variable], level), to=11)
            part = writer.column(part)
        else:
            part = _polynomial(writer, scaled[factor.variable], factor.degree)
        row[factor], width = width, width + 1
        parts.append(part)
    zero = writer.add("Mul", columns[basis.parents[0]], writer.constant(0.0))
    one = writer.column(writer.add("Add", zero, writer.constant(1.0)))
    return writer.add("Concat", one, *parts, axis=1), row


def _scaled(writer: GraphWriter, column: str, interval: Range) -> str:
    """(num_records, 1) with the range as [-1, 1]."""
    low, high = interval
    centred = writer.add("Sub", column, writer.constant(0.5 * (low + high)))
    return writer.column(writer.add("Mul", centred, writer.constant(2.0 / (high - low))))


def _polynomial(writer: GraphWriter, scaled: str, degree: int) -> str:
    """A Legendre polynomial by Horner's rule, held at its value on the border."""
    if degree == 1:
        return scaled
    inside = writer.add("Clip", scaled, writer.constant(-1.0), writer.constant(1.0))
    powers = legendre.leg2poly([0.0] * degree + [1.0])
    found = writer.constant(powers[-1])
    for power in powers[-2::-1]:
        product = writer.add("Mul", found, inside)
        found = writer.add("Add", product, writer.constant(power))
    return found


def _splines(writer: GraphWriter, scaled: str, knots: Knots) -> tuple[str, int]:
    """All B-splines (num_records, num_bumps): a cubic on the interval in which a value lies."""
    ends, local = ends_of(knots), cubics(knots)
    gaps = np.diff(ends)
    widths = np.array([gaps[0], *gaps, gaps[-1]])
    beyond = writer.add("GreaterOrEqual", scaled, writer.constant(ends[None, :]))
    counted = writer.sum_of(writer.add("Cast", beyond, to=7), keep=False)
    start = writer.add("Gather", writer.constant(np.array([ends[0], *ends])), counted)
    width = writer.add("Gather", writer.constant(widths), counted)
    offset = writer.add("Sub", scaled, writer.column(start))
    place = writer.add("Div", offset, writer.column(width))
    found = writer.add("Gather", writer.constant(local[:, -1]), counted)
    for power in range(local.shape[1] - 2, -1, -1):
        own = writer.add("Gather", writer.constant(local[:, power]), counted)
        found = writer.add("Add", writer.add("Mul", found, place), own)
    return found, local.shape[2]
