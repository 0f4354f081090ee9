import numpy as np
import pytest

from fedcausal.model.family_basis import family_of_degree, family_of_knots
from fedcausal.model.onnx_graph import GraphWriter, linear_form, onnx_modules
from fedcausal.schema import Kind, Schema, Variable

KNOTS = {"a": (-0.7, -0.4, -0.1, 0.0, 0.3), "b": (-0.5, 0.0, 0.2, 0.5)}
SCHEMA = Schema(
    (
        Variable(name="a", kind=Kind.CONTINUOUS, bounds=(-3.0, 5.0)),
        Variable(name="b", kind=Kind.CONTINUOUS, bounds=(0.0, 100.0)),
        Variable(name="g", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
        Variable(name="y", kind=Kind.CONTINUOUS, bounds=(-2.0, 2.0)),
    )
)


def basis_of(kind):
    if kind == "splines":
        return family_of_knots(SCHEMA, "y", ("a", "b", "g"), ranges={}, knots=KNOTS).basis
    parents = {"polynomials": ("a", "b", "g"), "levels": ("g",), "none": ()}[kind]
    return family_of_degree(SCHEMA, "y", parents, ranges={}, degree=4).basis


@pytest.mark.parametrize("kind", ["splines", "polynomials", "levels", "none"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_fitted_function_is_the_same_in_the_graph(tmp_path, kind, outputs):
    import onnxruntime

    rng, basis = np.random.default_rng(0), basis_of(kind)
    coefficients = rng.standard_normal((1 + basis.num_features, outputs))
    columns = {
        "a": rng.uniform(-6, 9, 100),
        "b": rng.uniform(-30, 140, 100),
        "g": rng.integers(0, 3, 100).astype(float),
    }
    helper, _ = onnx_modules()
    writer = GraphWriter()
    found = linear_form(writer, basis, coefficients, {n: n for n in columns}, "a")
    values = [helper.make_tensor_value_info(n, 11, ["n"]) for n in columns]
    result = helper.make_tensor_value_info(found, 11, ["n", outputs])
    graph = helper.make_graph(writer.nodes, "form", values, [result], writer.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    opened = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    used = {i.name for i in opened.get_inputs()}
    answer = opened.run([found], {n: v for n, v in columns.items() if n in used})[0]
    expected = coefficients[0] + basis.evaluate(columns) @ coefficients[1:]
    np.testing.assert_allclose(
        answer, np.broadcast_to(expected, answer.shape), rtol=1e-8, atol=1e-8
    )
