"""Frames of answers keep what was not asked about."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.model.answer_frames import is_replaced, replaced, told, with_columns
from fedcausal.model.frames import FEW_WORDS


@pytest.fixture
def frame():
    made = pd.DataFrame({"a": [1.0, 2.0], "word": ["u", "v"], "b": [3, 4]}, index=[7, 9])
    made.attrs["source"] = "here"
    return made


def test_columns_are_replaced_in_place_and_new_ones_come_last(frame):
    new = pd.DataFrame({"c": [0.5, 0.25], "a": [9.0, 8.0]}, index=frame.index)
    answer = with_columns(frame, [new, pd.DataFrame(index=frame.index)])
    assert list(answer.columns) == ["a", "word", "b", "c"]
    assert list(answer["a"]) == [9.0, 8.0]
    pd.testing.assert_frame_equal(answer[["word", "b"]], frame[["word", "b"]])
    assert answer.attrs == frame.attrs
    assert list(frame["a"]) == [1.0, 2.0]


def test_the_short_way_gives_the_same(frame):
    new = {"a": np.array([9.0, 8.0])}
    long = with_columns(frame, [pd.DataFrame(new, index=frame.index)])
    pd.testing.assert_frame_equal(replaced(frame, new), long)
    assert replaced(frame, new).attrs == frame.attrs


def test_the_short_way_is_for_few_records_of_known_types(frame):
    plain = frame[["a", "b"]]
    assert is_replaced(plain, ["a"])
    assert is_replaced(frame, ["a", "word"])
    assert not is_replaced(frame.astype({"word": object}), ["a"])
    assert not is_replaced(plain, ["c"])
    assert not is_replaced(plain.iloc[:0], ["a"])
    assert not is_replaced(pd.concat([plain] * FEW_WORDS), ["a"])


def test_an_answer_says_what_it_rests_on(frame):
    answer = told(frame.copy(), ["graph"], ["far"])
    assert answer.attrs == {"source": "here", "assumptions": ["graph"], "warnings": ["far"]}
