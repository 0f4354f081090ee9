"""Reals, words and limbs: exact there and back, and never a silent wrap."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.fixed_point import (
    check_contribution,
    decode,
    encode,
    join_limbs,
    split_limbs,
    to_words,
)
from fedcausal_privacy.statistic_spec import StatisticSpec

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)


@given(st.lists(INT64, min_size=1, max_size=20))
def test_two_limbs_there_and_back(values):
    vector = np.array(values, dtype=np.int64)
    assert (join_limbs(split_limbs(to_words(vector, 2)), 2) == vector).all()


@given(st.lists(INT32, min_size=1, max_size=20))
def test_one_limb_there_and_back(values):
    vector = np.array(values, dtype=np.int64)
    assert (join_limbs(split_limbs(to_words(vector, 1)), 1) == vector).all()


@given(
    st.integers(1, 1000),
    st.integers(0, 2**32),
    st.sampled_from([1, 2]),
)
def test_sums_of_limbs_recombine_to_the_signed_sum(num_sites, seed, limbs):
    bound = (2 ** (63 if limbs == 2 else 31) - 1) // num_sites
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-bound, bound, (num_sites, 3), endpoint=True)
    vectors[:, 0], vectors[:, 1] = bound, -bound
    sums = np.sum([split_limbs(to_words(v, limbs)) for v in vectors], axis=0, dtype=np.uint64)
    assert sums.max() < 1000 * 2**32
    assert (join_limbs(sums, limbs) == vectors.sum(axis=0)).all()


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=20), st.integers(0, 40))
def test_rounding_errs_by_half_a_unit_at_most(values, fraction_bits):
    reals = np.array(values)
    integers = encode(reals, fraction_bits=fraction_bits, bound=1000 * 2**fraction_bits)
    error = np.abs(decode(integers, fraction_bits=fraction_bits) - reals)
    assert error.max() <= 2.0 ** -(fraction_bits + 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.01, -1.01, 1e300, 1e308])
def test_a_real_beyond_its_bound_is_an_error(value):
    with pytest.raises(ProtocolError, match="bound"):
        encode(np.array([value]), fraction_bits=20, bound=2**20)


def test_bounds_are_inclusive_and_compared_exactly():
    assert encode(np.array([1.0, -1.0]), fraction_bits=20, bound=2**20).tolist() == [
        2**20,
        -(2**20),
    ]
    with pytest.raises(ProtocolError):
        encode(np.array([2.0**63]), fraction_bits=0, bound=2**63 - 1)
    with pytest.raises(ProtocolError):
        encode(np.array([0.0]), fraction_bits=0, bound=2**63)


def test_a_contribution_is_what_its_spec_says():
    spec = StatisticSpec(name="s", length=2, bound=5)
    check_contribution(np.array([5, -5]), spec)
    for vector in ([6, 0], [0, -6], [-(2**63), 0]):
        with pytest.raises(ProtocolError, match="bound"):
            check_contribution(np.array(vector), spec)
    for vector in (np.array([1.0, 2.0]), np.array([1]), np.array([[1, 2]])):
        with pytest.raises(ProtocolError, match="expected 2 int64"):
            check_contribution(vector, spec)


def test_limbs_of_unmasked_values_leak_how_many_sites_are_negative():
    # Two sets of three sites with the same total; masks per limb would show the sums below.
    few, many = (
        np.array([[2], [-1], [-1]]),
        np.array([[-2], [1], [1]]) + np.array([[2], [-1], [-1]]),
    )
    assert few.sum() == many.sum() == 0
    sums = [np.sum([split_limbs(to_words(v, 2)) for v in s], axis=0) for s in (few, many)]
    assert sums[0].tolist() != sums[1].tolist()


def test_limb_sums_of_masked_values_depend_on_the_total_alone():
    # Null hypothesis: the carry has the same distribution for both sets. Level 0.001.
    rng, size = np.random.default_rng(5), 60_000
    few, many = np.array([2**40, -(2**39), -(2**39)]), np.array([0, 0, 0])
    carries = []
    for values in (few, many):
        masks = rng.integers(0, 2**64, (2, size), dtype=np.uint64)
        masks = np.vstack([masks, -(masks[0] + masks[1])])
        words = values.astype(np.int64)[:, None].view(np.uint64) + masks
        sums = np.sum([split_limbs(row) for row in words], axis=0, dtype=np.uint64)
        assert (join_limbs(sums, 2) == values.sum()).all()
        carries.append(np.bincount((sums[:size] >> np.uint64(32)).astype(int), minlength=3))
    table = np.array(carries)
    expected = table.sum(axis=0) * 0.5
    used = expected > 0
    statistic = ((table - expected) ** 2)[:, used] / expected[used]
    assert statistic.sum() < 13.8  # the 0.999 quantile of chi-square with 2 degrees of freedom


@given(num_sites=st.integers(1, 1000), bound=st.integers(0, 2**63), limbs=st.sampled_from([1, 2]))
def test_a_range_is_accepted_exactly_when_no_total_can_leave_it(num_sites, bound, limbs):
    # Oracle in Python integers: the largest total of any vectors within the bound.
    bits = 63 if limbs == 2 else 31
    spec = StatisticSpec(name="s", length=1, bound=bound, limbs=limbs)
    if num_sites * bound <= 2**bits - 1:
        spec.check_range(num_sites)
    else:
        with pytest.raises(ProtocolError, match=f"leaves {bits} bits"):
            spec.check_range(num_sites)


@given(
    num_sites=st.sampled_from([1, 2, 3, 7, 10, 999, 1000]),
    limbs=st.sampled_from([1, 2]),
    data=st.data(),
)
def test_totals_of_accepted_vectors_are_those_of_python_integers(num_sites, limbs, data):
    bound = (2 ** (63 if limbs == 2 else 31) - 1) // num_sites
    spec = StatisticSpec(name="s", length=3, bound=bound, limbs=limbs)
    spec.check_range(num_sites)
    entry = st.one_of(st.sampled_from([bound, -bound, 0, 1, -1]), st.integers(-bound, bound))
    few = data.draw(st.lists(st.lists(entry, min_size=3, max_size=3), min_size=1, max_size=4))
    rows = [few[i % len(few)] for i in range(num_sites)]
    words = [to_words(np.array(row, dtype=np.int64), limbs) for row in rows]
    for row in rows:
        check_contribution(np.array(row, dtype=np.int64), spec)
    limb_sums = np.sum([split_limbs(word) for word in words], axis=0, dtype=np.uint64)
    total = np.sum(words, axis=0, dtype=words[0].dtype)
    expected = [sum(column) for column in zip(*rows, strict=True)]
    assert join_limbs(limb_sums, limbs).tolist() == expected
    assert join_limbs(split_limbs(total), limbs).tolist() == expected


@pytest.mark.parametrize(("limbs", "bits"), [(2, 63), (1, 31)])
@pytest.mark.parametrize("num_sites", [1, 3, 7, 1000])
def test_one_unit_more_than_the_largest_bound_is_refused_and_would_wrap(limbs, bits, num_sites):
    largest = (2**bits - 1) // num_sites
    StatisticSpec(name="s", length=1, bound=largest, limbs=limbs).check_range(num_sites)
    with pytest.raises(ProtocolError):
        StatisticSpec(name="s", length=1, bound=largest + 1, limbs=limbs).check_range(num_sites)
    # What the refusal prevents: the total of these bounds has another sign in the ring.
    if largest + 1 < 2**bits:
        word = to_words(np.array([largest + 1]), limbs)
        total = np.array(num_sites * int(word[0]) % 2 ** (bits + 1), dtype=word.dtype)[None]
        assert join_limbs(split_limbs(total), limbs)[0] < 0


@given(
    value=st.floats(allow_nan=True, allow_infinity=True),
    fraction_bits=st.integers(0, 60),
    bound=st.integers(0, 2**63 - 1),
)
def test_encoding_rounds_like_exact_fractions_or_refuses(value, fraction_bits, bound):
    exact = None if value != value or abs(value) == np.inf else Fraction(value) * 2**fraction_bits
    if exact is None or abs(round(exact)) > bound:
        with pytest.raises(ProtocolError, match="bound"):
            encode(np.array([value]), fraction_bits=fraction_bits, bound=bound)
        return
    (encoded,) = encode(np.array([value]), fraction_bits=fraction_bits, bound=bound)
    assert int(encoded) == round(exact)
    (decoded,) = decode(np.array([encoded]), fraction_bits=fraction_bits)
    assert decoded == float(Fraction(int(encoded), 2**fraction_bits))
