"""A closed-form model as one ONNX graph, for programs without Python."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from fedcausal.errors import InputError
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import (
    LEAST_PROBABILITY,
    LevelMechanism,
    Mechanism,
    NumericMechanism,
)
from fedcausal.model.onnx_graph import GraphWriter, linear_form, onnx_modules
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Kind

__all__ = ["OPSET", "Question", "export_onnx", "noise_inputs"]

Question: TypeAlias = Literal["sample", "counterfactual"]
OPSET, IR_VERSION = 18, 9
DOUBLE = 11
KNOWN = (NumericMechanism, LevelMechanism)


def export_onnx(model: StructuralCausalModel, path: Path, question: Question) -> dict[str, str]:
    """Write a model's answers to one kind of question as an ONNX graph.

    All values are doubles of shape (num_records,), or (num_records, num_levels) where stated;
    numbers are in declared units, levels are codes in the schema's order. Per variable NAME:

    - input `do:NAME`: the value it is set to, NaN where it is not acted upon;
    - input `noise:NAME`: for "sample", a uniform number in [0, 1) of a numeric variable, standard
      Gumbel noise (num_records, num_levels) of one with levels; for "counterfactual", a uniform
      number of a variable with levels, which picks one world;
    - input `fact:NAME` ("counterfactual"): the observed value, complete;
    - output `NAME`; of a variable with levels in a "counterfactual" also `NAME:probabilities`
      (num_records, num_levels), given the values of its parents in that world.

    Returns the description of every input, which the file holds as metadata too.

    Raises
    ------
    InputError
        onnx is not installed, or a mechanism has no such form; the message names the nodes.
    """
    helper, _ = onnx_modules()
    engine = _closed_form(model)
    writer, plan = GraphWriter(), _Plan(engine=engine, question=question)
    for name in engine.order:
        _write_node(writer, plan, name)
    graph = helper.make_graph(
        writer.nodes,
        f"fedcausal-{question}",
        [_value(helper, name, shape) for name, shape in plan.inputs.items()],
        [_value(helper, name, shape) for name, shape in plan.outputs.items()],
        writer.constants,
    )
    written = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fedcausal",
    )
    helper.set_model_props(written, plan.words)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written.SerializeToString())
    return plan.words


def noise_inputs(
    model: StructuralCausalModel, num_records: int, seed: int
) -> dict[str, FloatArray]:
    """The inputs `noise:NAME` with which the graph "sample" gives what `model.sample` gives."""
    engine, rng = _closed_form(model), np.random.default_rng(seed)
    found: dict[str, FloatArray] = {}
    for name in engine.order:
        mechanism = engine.mechanisms[name]
        if isinstance(mechanism, LevelMechanism):
            found[f"noise:{name}"] = mechanism.draw_noise(num_records, rng)
        else:
            found[f"noise:{name}"] = rng.random(num_records)
    return found


@dataclass(slots=True, kw_only=True)
class _Plan:
    """What has been written so far: inputs and outputs with their widths, and where values are.

    `world` and `fact` name each variable's value, `moved` whether it differs from its fact.
    """

    engine: GramModel
    question: Question
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    world: dict[str, str] = field(default_factory=dict)
    fact: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, width: int, words: str) -> str:
        """A new input of the graph."""
        self.inputs[name], self.words[name] = width, words
        return name


def _closed_form(model: StructuralCausalModel) -> GramModel:
    engine = model.engine
    if not isinstance(engine, GramModel):
        nodes = ", ".join(model.graph.nodes)
        raise InputError(
            f"export-onnx: a neural model cannot be exported (its nodes: {nodes}); ask for the "
            "closed form: --family gram"
        )
    warped = [v.name for v in engine.schema if v.transform and v.name in engine.names]
    if warped:
        raise InputError(
            f"export-onnx: these variables have a transform, which cannot be exported: "
            f"{', '.join(warped)}"
        )
    others = [name for name, own in engine.mechanisms.items() if type(own) not in KNOWN]
    if others:
        raise InputError(
            f"export-onnx: these nodes have mechanisms of their own, which cannot be exported: "
            f"{', '.join(others)}"
        )
    return engine


def _known(mechanism: Mechanism) -> NumericMechanism | LevelMechanism:
    if not isinstance(mechanism, KNOWN):
        raise InputError(f"export-onnx: {mechanism.family.node} has a mechanism of its own")
    return mechanism


def _value(helper: Any, name: str, width: int) -> Any:
    shape: list[str | int] = ["num_records"] if width == 1 else ["num_records", width]
    return helper.make_tensor_value_info(name, DOUBLE, shape)


def _write_node(writer: GraphWriter, plan: _Plan, name: str) -> None:
    variable = plan.engine.schema[name]
    unit = f" in {variable.unit}" if variable.unit else ""
    levels = ", ".join(f"{k} = {level}" for k, level in enumerate(variable.categories))
    told = f"code ({levels})" if levels else f"number{unit}"
    done = plan.ask(f"do:{name}", 1, f"{told}; NaN: not acted upon")
    mechanism = _known(plan.engine.mechanisms[name])
    if plan.question == "counterfactual":
        plan.fact[name] = plan.ask(f"fact:{name}", 1, f"the observed {told}")
    if isinstance(mechanism, LevelMechanism):
        natural = _level(writer, plan, mechanism, done)
    else:
        natural = _number(writer, plan, mechanism, done)
    free = writer.add("IsNaN", done)
    plan.world[name] = writer.add("Where", free, natural, done, name=name)
    plan.outputs[name] = 1
    if plan.question == "counterfactual":
        same = writer.add("Equal", plan.world[name], plan.fact[name])
        plan.moved[name] = writer.add("Not", same)


def _form(
    writer: GraphWriter,
    mechanism: NumericMechanism | LevelMechanism,
    columns: Mapping[str, str],
    records: str,
) -> str:
    regression = mechanism.regression()
    return linear_form(writer, regression.basis, regression.coefficients, columns, records)


def _number(writer: GraphWriter, plan: _Plan, mechanism: NumericMechanism, records: str) -> str:
    """The value before an action: mean plus residual; the fact where no parent moved."""
    family = mechanism.family
    low, high = family.known_range
    middle, half = writer.constant(0.5 * (low + high)), writer.constant(0.5 * (high - low))
    mean = _flat(writer, _form(writer, mechanism, plan.world, records))
    if plan.question == "sample":
        uniform = plan.ask(f"noise:{family.node}", 1, "a uniform number in [0, 1)")
        noise = _quantile(writer, mechanism, uniform)
    else:
        centred = writer.add("Sub", plan.fact[family.node], middle)
        before = _flat(writer, _form(writer, mechanism, plan.fact, records))
        noise = writer.add("Sub", writer.add("Div", centred, half), before)
    scaled = writer.add("Mul", writer.add("Add", mean, noise), half)
    value = _coded(writer, plan, family.node, writer.add("Add", scaled, middle))
    return _where_moved(writer, plan, mechanism, value, plan.fact.get(family.node))


def _flat(writer: GraphWriter, values: str) -> str:
    """(num_records, 1) as (num_records,)."""
    return writer.add("Squeeze", values, writer.constant(np.array([1])))


def _coded(writer: GraphWriter, plan: _Plan, name: str, value: str) -> str:
    """An ordinal in words is rounded to its codes."""
    variable = plan.engine.schema[name]
    if variable.kind is not Kind.ORDINAL or not variable.categories:
        return value
    top = writer.constant(float(len(variable.categories) - 1))
    return writer.add("Clip", writer.add("Round", value), writer.constant(0.0), top)


def _quantile(writer: GraphWriter, mechanism: NumericMechanism, uniform: str) -> str:
    """The residual's quantile function, linear within a bin."""
    law = mechanism.residual
    cumulative = np.concatenate([[0.0], np.cumsum(law.masses)])
    cumulative /= cumulative[-1]
    kept = np.flatnonzero(np.diff(cumulative) > 0)
    slopes = (law.edges[kept + 1] - law.edges[kept]) / np.diff(cumulative)[kept]
    starts = cumulative[kept]
    beyond = writer.add(
        "GreaterOrEqual", writer.column(uniform), writer.constant(starts[None, 1:])
    )
    at = writer.sum_of(writer.add("Cast", beyond, to=7), keep=False)
    slope, start, edge = (
        writer.add("Gather", writer.constant(part), at)
        for part in (slopes, starts, law.edges[kept])
    )
    return writer.add("Add", writer.add("Mul", writer.add("Sub", uniform, start), slope), edge)


def _level(writer: GraphWriter, plan: _Plan, mechanism: LevelMechanism, records: str) -> str:
    """The code before an action: the largest noisy log probability, or one of its posterior."""
    name, count = mechanism.family.node, mechanism.family.num_levels
    law = _law(writer, mechanism, plan.world, records)
    if plan.question == "sample":
        gumbel = plan.ask(f"noise:{name}", count, "standard Gumbel noise of every level")
        perturbed = writer.add("Add", writer.add("Log", law), gumbel)
        code = writer.add("ArgMax", perturbed, axis=1, keepdims=0)
        return writer.add("Cast", code, to=DOUBLE)
    fact = writer.column(plan.fact[name])
    codes = writer.constant(np.arange(count, dtype=float)[None, :])
    observed = writer.add("Cast", writer.add("Equal", fact, codes), to=DOUBLE)
    before = _law(writer, mechanism, plan.fact, records)
    found = _posterior(writer, before, law, observed, count)
    found = _where_moved(writer, plan, mechanism, found, observed, wide=True)
    probabilities = writer.add("Identity", found, name=f"{name}:probabilities")
    plan.outputs[f"{name}:probabilities"] = count
    uniform = plan.ask(f"noise:{name}", 1, "a uniform number in [0, 1), which picks the world")
    cumulative = writer.add("CumSum", probabilities, writer.constant(np.array(1)))
    below = writer.columns_of(cumulative, np.arange(count - 1))
    reached = writer.add("GreaterOrEqual", writer.column(uniform), below)
    return writer.sum_of(writer.add("Cast", reached, to=DOUBLE), keep=False)


def _law(
    writer: GraphWriter, mechanism: LevelMechanism, columns: Mapping[str, str], records: str
) -> str:
    raw = _form(writer, mechanism, columns, records)
    least, most = writer.constant(LEAST_PROBABILITY), writer.constant(1.0)
    clipped = writer.add("Clip", raw, least, most)
    return writer.add("Div", clipped, writer.sum_of(clipped, keep=True))


def _posterior(writer: GraphWriter, before: str, after: str, observed: str, count: int) -> str:
    """`gumbel.counterfactual_probabilities`: a sum over the cuts of a piecewise integral."""
    ratio = writer.add("Div", before, after)
    end = writer.sum_of(writer.add("Mul", ratio, observed), keep=True)
    cuts = writer.add("Min", writer.sorted_rows(ratio, count), end)
    wide = writer.add("Unsqueeze", cuts, writer.constant(np.array([2])))
    others = writer.add("Sub", writer.constant(1.0), observed)
    p, q, other = (
        writer.add("Unsqueeze", part, writer.constant(np.array([1])))
        for part in (before, after, others)
    )
    excess = writer.add("Sub", writer.add("Mul", wide, q), p)
    held = writer.add("Mul", writer.add("Max", excess, writer.constant(0.0)), other)
    denominator = writer.add("Add", writer.sum_of(held, keep=False), writer.constant(1.0))
    left, right = np.arange(count - 1), np.arange(1, count)
    steps = writer.add("Sub", writer.columns_of(cuts, right), writer.columns_of(cuts, left))
    squares = writer.add(
        "Mul", writer.columns_of(denominator, left), writer.columns_of(denominator, right)
    )
    pieces = writer.column(writer.add("Div", steps, squares))
    lower = writer.column(writer.columns_of(cuts, left))
    own = writer.add("Unsqueeze", ratio, writer.constant(np.array([2])))
    inside = writer.add("Cast", writer.add("GreaterOrEqual", lower, own), to=DOUBLE)
    total = writer.sum_of(writer.add("Mul", pieces, inside), keep=False)
    moved = writer.add("Mul", writer.add("Mul", after, total), others)
    stay = writer.add("Sub", writer.constant(1.0), writer.sum_of(moved, keep=True))
    stay = writer.add("Max", stay, writer.constant(0.0))
    return writer.add("Add", moved, writer.add("Mul", stay, observed))


def _where_moved(
    writer: GraphWriter,
    plan: _Plan,
    mechanism: NumericMechanism | LevelMechanism,
    value: str,
    fact: str | None,
    *,
    wide: bool = False,
) -> str:
    """In a counterfactual the fact, bit for bit, where every parent kept its value."""
    if fact is None:
        return value
    parents = mechanism.family.basis.parents
    if not parents:
        return fact
    moved = plan.moved[parents[0]]
    for parent in parents[1:]:
        moved = writer.add("Or", moved, plan.moved[parent])
    return writer.add("Where", writer.column(moved) if wide else moved, value, fact)
