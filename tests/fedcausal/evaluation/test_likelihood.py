"""Held-out likelihood: against closed forms, and over complete families only."""

import numpy as np
import pytest

from fedcausal.evaluation.likelihood import held_out_likelihood


def test_parents_gain_what_they_explain(run, records):
    found = held_out_likelihood(run.model.load(), records(9, 4000))
    assert set(found) == {"age", "dose", "sick"}
    # A normal law of the whole against the noise alone: log of the ratio of their deviations.
    variance = (70 / 10) ** 2 / 12 + 1
    assert found["dose"].gain == pytest.approx(np.log(np.sqrt(variance)), abs=0.12)
    assert found["sick"].gain > 0.1
    assert abs(found["age"].gain) < 0.3
    assert found["dose"].to_json()["gain"] == found["dose"].gain


def test_families_with_missing_values_are_left_out(run, records):
    frame = records(9, 1000)
    frame.loc[:299, "dose"] = np.nan
    found = held_out_likelihood(run.model.load(), frame)
    counts = {name: value.num_records for name, value in found.items()}
    assert counts == {"age": 1000, "dose": 700, "sick": 700}
    whole = held_out_likelihood(run.model.load(), frame.iloc[300:])
    assert found["dose"].model == pytest.approx(whole["dose"].model)


def test_a_variable_that_is_never_there_has_no_likelihood(run, records):
    frame = records(9, 50)
    frame["dose"] = np.nan
    assert set(held_out_likelihood(run.model.load(), frame)) == {"age"}


def test_the_baseline_of_levels_is_their_entropy(run, records):
    frame = records(9, 400)
    share = (frame["sick"] == "yes").mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    found = held_out_likelihood(run.model.load(), frame)
    assert found["sick"].baseline == pytest.approx(-entropy)
