import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from fedcausal.effects.effect import EffectEstimate
from fedcausal.report.interval_plot import interval_svg


def estimate(value, low, high, level=None):
    return EffectEstimate(
        treatment="t",
        outcome="y",
        values=(0.0, 1.0),
        population="pooled",
        outcome_level=level,
        mean_first=0.0,
        mean_second=value,
        estimate=value,
        interval=(low, high),
        interval_kind="sampling",
        adjustment_set=(),
        assumptions=(),
        sentence="",
    )


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(1.0, 0.5, 1.5), (-3e-6, -5e-6, 1e-6), (0.0, 0.0, 0.0), (2e9, 1e9, 3e9)],
)
def test_the_dot_lies_in_the_bar_and_the_bar_in_the_picture(value, low, high):
    picture = ET.fromstring(interval_svg(estimate(value, low, high), "kg"))  # noqa: S314
    dot = float(picture.find("circle").get("cx"))
    bar = next(line for line in picture.findall("line") if line.get("stroke-width") == "5")
    left, right = float(bar.get("x1")), float(bar.get("x2"))
    assert 0 < left <= dot <= right < float(picture.get("width"))
    assert len(picture.findall("text")) >= 3


def test_over_a_class_every_possible_effect_has_a_dot():
    found = replace(estimate(0.7, -0.1, 0.9), interval_kind="class", possible_effects=(0.0, 0.68))
    picture = ET.fromstring(interval_svg(found, "kg"))  # noqa: S314
    assert len(picture.findall("circle")) == 2
    assert "0 to 0.68 kg" in [text.text for text in picture.findall("text")]
    assert "0.7" not in picture.get("aria-label")


def test_probabilities_are_shown_in_percentage_points():
    text = interval_svg(estimate(0.12, 0.1, 0.14, level="<dead>"), "kg")
    assert "12 percentage points" in text
    assert "kg" not in text


def test_a_unit_is_escaped():
    assert "<b>" not in interval_svg(estimate(1.0, 0.5, 1.5), "<b>")
