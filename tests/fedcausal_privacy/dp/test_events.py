import json

import pytest

from fedcausal_privacy.dp.events import (
    GaussianRelease,
    NoPrivacy,
    PoissonSampledGaussian,
    event_from_json,
    event_to_json,
)
from fedcausal_privacy.errors import UnsupportedEventError

EVENTS = [
    GaussianRelease(sensitivity=1.5, noise_multiplier=3.0, name="gram"),
    PoissonSampledGaussian(sample_rate=0.2, noise_multiplier=1.1, steps=25),
    NoPrivacy(name="votes"),
]


@pytest.mark.parametrize("event", EVENTS)
def test_json_round_trip(event):
    text = json.dumps(event_to_json(event))
    assert event_from_json(json.loads(text)) == event


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_states_its_relation_and_unit(event):
    assert event_to_json(event)["neighbouring"] == "add-or-remove"
    assert event_to_json(event)["unit"] == "record"


@pytest.mark.parametrize(
    "change",
    [
        {"event": "laplace"},
        {"event": None},
        {"neighbouring": "replace-one"},
        {"unit": "client"},
        {"steps": 0},
        {"steps": True},
        {"steps": 2.5},
        {"sample_rate": 1.5},
        {"sample_rate": "0.2"},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": float("nan")},
        {"discount": 0.5},
    ],
)
def test_an_event_that_is_not_understood_is_an_error(change):
    value = {**event_to_json(EVENTS[1]), **change}
    with pytest.raises(UnsupportedEventError):
        event_from_json(value)


def test_a_missing_field_is_an_error():
    value = event_to_json(EVENTS[1])
    del value["steps"]
    with pytest.raises(UnsupportedEventError):
        event_from_json(value)


def test_a_foreign_object_has_no_json():
    with pytest.raises(UnsupportedEventError):
        event_to_json("gaussian-release")
