"""The exported graph, run by onnxruntime, gives the model's own answers."""

import sys

import numpy as np
import pytest

from fedcausal.errors import InputError
from fedcausal.model.frames import read_frame
from fedcausal.model.gumbel import counterfactual_probabilities
from fedcausal.model.nodeflow_model import from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.onnx_export import export_onnx, noise_inputs

TOLERANCE = {"rtol": 1e-5, "atol": 1e-9}


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ask(path, inputs):
    opened = session(path)
    wanted = [output.name for output in opened.get_outputs()]
    assert {i.name for i in opened.get_inputs()} == set(inputs)
    return dict(zip(wanted, opened.run(wanted, inputs), strict=True))


def done(model, size, do):
    return {f"do:{name}": np.full(size, do.get(name, np.nan)) for name in model.graph.nodes}


def coded(model, frame):
    return read_frame(frame, model.schema, model.graph.nodes)


@pytest.mark.parametrize("do", [{}, {"drug": 1.0}, {"pressure": 3.5, "group": 2.0}])
def test_samples_under_do_are_the_models(mixed_fit, tmp_path, do):
    model = mixed_fit.model
    words = export_onnx(model, tmp_path / "m.onnx", "sample")
    inputs = noise_inputs(model, 400, seed=3) | done(model, 400, do)
    assert set(words) == set(inputs)
    found = ask(tmp_path / "m.onnx", inputs)
    said = {
        n: model.schema[n].categories[int(v)] if model.schema[n].categories else v
        for n, v in do.items()
    }
    expected = coded(model, model.sample(400, do=said, seed=3))
    for name in model.graph.nodes:
        np.testing.assert_allclose(found[name], expected[name], **TOLERANCE)


def test_counterfactuals_are_the_models(mixed_fit, tmp_path):
    model, rng = mixed_fit.model, np.random.default_rng(0)
    frame = model.sample(300, seed=4)
    facts = coded(model, frame)
    export_onnx(model, tmp_path / "m.onnx", "counterfactual")
    noise = {f"noise:{n}": rng.random(300) for n in ("drug", "group", "status")}
    inputs = done(model, 300, {"drug": 1.0}) | noise
    inputs |= {f"fact:{name}": values for name, values in facts.items()}
    found = ask(tmp_path / "m.onnx", inputs)
    answer = model.counterfactual(frame, do={"drug": "1"}, probabilities=True)
    expected = coded(model, answer)
    for name in ("age", "group", "drug"):
        np.testing.assert_array_equal(found[name], expected[name])
    for name in ("pressure", "stage"):
        np.testing.assert_allclose(found[name], expected[name], **TOLERANCE)
    shares = answer[["status=alive", "status=dead"]].to_numpy()
    np.testing.assert_allclose(found["status:probabilities"], shares, rtol=1e-5, atol=1e-9)
    drawn = (noise["noise:status"] >= shares[:, 0]).astype(float)
    assert (found["status"] == drawn).mean() > 0.99
    factual = facts["drug"] == 1
    np.testing.assert_array_equal(found["pressure"][factual], facts["pressure"][factual])


def test_laws_of_many_levels_below_a_change(mixed_fit, tmp_path):
    from fedcausal.model.onnx_export import _posterior
    from fedcausal.model.onnx_graph import GraphWriter, onnx_modules

    rng = np.random.default_rng(1)
    before, after = rng.dirichlet(np.ones(4), 500), rng.dirichlet(np.ones(4), 500)
    levels = rng.integers(0, 4, 500)
    helper, _ = onnx_modules()
    writer = GraphWriter()
    found = _posterior(writer, "before", "after", "observed", 4)
    values = [
        helper.make_tensor_value_info(n, 11, ["n", 4]) for n in ("before", "after", "observed")
    ]
    outputs = [helper.make_tensor_value_info(found, 11, ["n", 4])]
    graph = helper.make_graph(writer.nodes, "law", values, outputs, writer.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "law.onnx").write_bytes(model.SerializeToString())
    inputs = {"before": before, "after": after, "observed": np.eye(4)[levels]}
    (answer,) = ask(tmp_path / "law.onnx", inputs).values()
    expected = counterfactual_probabilities(before, after, levels)
    np.testing.assert_allclose(answer, expected, rtol=1e-8, atol=1e-12)


def test_splines_and_products_with_levels(spline_model, tmp_path):
    model = spline_model
    export_onnx(model, tmp_path / "s.onnx", "sample")
    inputs = noise_inputs(model, 300, seed=1) | done(model, 300, {"a": 4.9})
    found = ask(tmp_path / "s.onnx", inputs)
    expected = coded(model, model.sample(300, do={"a": 4.9}, seed=1))
    for name in model.graph.nodes:
        np.testing.assert_allclose(found[name], expected[name], **TOLERANCE)


def test_what_cannot_be_exported_is_named(mixed_fit, mixed_edges, tmp_path):
    from fedcausal.model.nodeflow import build

    schema = mixed_fit.model.schema
    spec = NodeFlowSpec.from_schema(schema, mixed_edges, hidden=4, bins=3)
    flow = build(spec, 0, start=nodeflow_starts(mixed_fit.grams))
    neural = from_nodeflow(flow, mixed_fit.model.graph, schema)
    with pytest.raises(InputError, match=r"age, drug.*--family gram"):
        export_onnx(neural, tmp_path / "m.onnx", "sample")
    assert not (tmp_path / "m.onnx").exists()


def test_a_missing_extra_says_what_to_type(mixed_fit, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r'pip install "fedcausal\[onnx\]"'):
        export_onnx(mixed_fit.model, tmp_path / "m.onnx", "sample")
