import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.model.fitting import assemble, fit


def test_fit_is_assemble_with_gaussian_residuals(mixed_fit):
    model = fit(mixed_fit.model.graph, mixed_fit.model.schema, mixed_fit.grams)
    assert model.family == "gram"
    assert model.ranges == {"age": (-6.0, 6.0), "pressure": (-40.0, 40.0), "stage": (0.0, 2.0)}
    again = assemble(model.graph, model.schema, model.engine.mechanisms)
    assert model.sample(20).equals(again.sample(20))


def test_the_model_reproduces_the_pooled_moments(mixed_fit):
    rows = Table.concatenate(mixed_fit.sites)
    drawn = mixed_fit.model.sample(20_000, seed=1)
    for name in ("age", "pressure"):
        column = rows.column(name)
        error = column.std() * np.sqrt(1 / 20_000 + 1 / len(column))
        assert drawn[name].mean() == pytest.approx(column.mean(), abs=5 * error)
        assert drawn[name].std() == pytest.approx(column.std(), rel=0.06)
