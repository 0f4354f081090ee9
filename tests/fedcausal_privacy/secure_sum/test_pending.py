"""A pending sum: batches add up to the whole, each site once, and bytes and back."""

from itertools import pairwise

import pytest

from fedcausal_privacy.envelopes import ignore
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.collecting import collected
from fedcausal_privacy.secure_sum.pending import PendingSum


@pytest.fixture
def parts(recorded):
    manifest = recorded.pool.aggregator.manifest
    empty, uploads = collected(recorded.decrypt, manifest, ignore)
    return empty, uploads, recorded.pool.aggregator.public_context


def test_any_batches_in_any_order_give_the_same_bytes(parts):
    empty, uploads, context = parts
    whole = empty.add(uploads, public_context=context)
    for cuts in ([0, 1, 3], [0, 1, 2, 3], [0, 2, 3], [0, 0, 3]):
        total = empty
        for start, end in pairwise(cuts):
            total = total.add(uploads[::-1][start:end], public_context=context)
        assert total.sums == whole.sums
        assert total.sites == whole.sites == ("a", "b", "c")


def test_a_site_is_in_a_sum_once(parts):
    empty, uploads, context = parts
    with pytest.raises(ProtocolError, match="twice in one sum"):
        empty.add([uploads[0], uploads[0]], public_context=context)
    one = empty.add(uploads[:1], public_context=context)
    with pytest.raises(ProtocolError, match="twice in one sum"):
        one.add(uploads[:1], public_context=context)


def test_bytes_and_back(parts):
    empty, uploads, context = parts
    for total in (empty, empty.add(uploads, public_context=context)):
        assert PendingSum.from_json(total.to_json()) == total
        assert total.is_of(empty)
    other = PendingSum.begin(empty.specs, round=2, attempt=1, kind=empty.kind, roster="")
    assert not other.is_of(empty)


@pytest.mark.parametrize("value", [None, [], {}, {"round": 1}])
def test_something_else_is_refused(value):
    with pytest.raises(ProtocolError):
        PendingSum.from_json(value)


def test_entries_of_another_shape_are_refused(parts):
    value = parts[0].to_json()
    for entries in ({"gram": [["a", "b"]]}, {"gram": [["a", "b", 3]]}, {}):
        with pytest.raises(ProtocolError):
            PendingSum.from_json({**value, "entries": entries})
