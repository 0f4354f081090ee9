import pytest

from fedcausal_simulations.silence import Silence, Silences

HEARD = ["hello", "upload", "hello", "upload", "upload", "close"]


@pytest.mark.parametrize(
    ("options", "swallowed"),
    [
        ({"kind": "upload"}, [0, 1, 1, 1, 1, 1]),
        ({"kind": "hello"}, [1, 1, 1, 1, 1, 1]),
        ({"kind": "upload", "after": 1}, [0, 0, 0, 1, 1, 1]),
        ({"kind": "upload", "after": 1, "returns_after": 1}, [0, 0, 0, 1, 0, 0]),
        ({"kind": "upload", "returns_after": 3}, [0, 1, 1, 1, 0, 0]),
        ({"kind": "never"}, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_from_which_message_on_and_until_when(options, swallowed):
    silences = Silences(Silence(site="a", **options))
    assert [silences.swallows(kind) for kind in HEARD] == [bool(s) for s in swallowed]
