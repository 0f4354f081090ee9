"""Exact encrypted addition, and what it refuses."""

import random
import subprocess
import sys

import numpy as np
import pytest
import tenseal
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.bfv import (
    COEFFICIENT_BITS,
    MAX_SUMMANDS,
    NUM_SLOTS,
    PLAIN_MODULUS,
    BfvScheme,
    most_bytes,
    parse_public,
)

SCHEME = BfvScheme()


@pytest.fixture(scope="module")
def keys():
    return SCHEME.generate_keys()


def residues(seed, length, below=2**32):
    return np.random.default_rng(seed).integers(0, below, length, dtype=np.uint64)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    length=st.sampled_from([1, 5, NUM_SLOTS, NUM_SLOTS + 1, 3 * NUM_SLOTS - 1]),
    num_sites=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_the_decrypted_sum_is_the_sum_of_the_residues(keys, length, num_sites, seed):
    public, secret = keys
    vectors = [residues(seed + i, length) for i in range(num_sites)]
    total = SCHEME.add(public, (SCHEME.encrypt(public, v) for v in vectors), length=length)
    assert (SCHEME.decrypt(secret, total, length=length) == sum(vectors)).all()
    assert SCHEME.noise_budget(secret, total, length=length) >= 2


def test_the_sum_does_not_depend_on_the_order_not_even_in_its_bytes(keys):
    public, _ = keys
    a, b, c = (SCHEME.encrypt(public, residues(i, 10)) for i in range(3))
    assert SCHEME.add(public, [a, b, c], length=10) == SCHEME.add(public, [c, a, b], length=10)


def test_a_wrong_key_does_not_decrypt(keys):
    public, _ = keys
    _, other = SCHEME.generate_keys()
    vector = residues(0, 100)
    assert not (SCHEME.decrypt(other, SCHEME.encrypt(public, vector), length=100) == vector).any()
    assert SCHEME.noise_budget(other, SCHEME.encrypt(public, vector), length=100) == 0


def test_public_bytes_hold_no_secret_and_secret_bytes_are_no_public_context(keys):
    public, secret = keys
    assert not parse_public(public).has_secret_key()
    with pytest.raises(ProtocolError, match="no secret key"):
        parse_public(secret)
    with pytest.raises(ProtocolError, match="no secret key"):
        SCHEME.decrypt(public, SCHEME.encrypt(public, residues(0, 1)), length=1)


@pytest.mark.parametrize(
    ("degree", "modulus", "bits"),
    [
        (4096, 1032193, [60, 49]),
        (4096, PLAIN_MODULUS, [54, 54]),
        (4096, PLAIN_MODULUS, [36, 36, 37]),
        (8192, PLAIN_MODULUS, [60, 49]),
    ],
)
def test_parameters_outside_the_allow_list_are_refused(degree, modulus, bits):
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV, degree, plain_modulus=modulus, coeff_mod_bit_sizes=bits
    )
    content = context.serialize(
        save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
    )
    with pytest.raises(ProtocolError):
        parse_public(content)


def test_another_scheme_is_refused():
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 4096, coeff_mod_bit_sizes=[60, 49])
    content = context.serialize(
        save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
    )
    with pytest.raises(ProtocolError):
        parse_public(content)


@pytest.mark.parametrize(
    "kept",
    [
        {"save_relin_keys": True},
        {"save_galois_keys": True},
        {"save_secret_key": True},
        {"save_public_key": False},
        {"save_public_key": False, "save_secret_key": True},
    ],
)
def test_a_context_holds_the_public_key_and_no_other(kept):
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV,
        NUM_SLOTS,
        plain_modulus=PLAIN_MODULUS,
        coeff_mod_bit_sizes=list(COEFFICIENT_BITS),
    )
    context.generate_galois_keys()
    public_alone = {
        "save_public_key": True,
        "save_secret_key": False,
        "save_galois_keys": False,
        "save_relin_keys": False,
    }
    parse_public(context.serialize(**public_alone))
    with pytest.raises(ProtocolError, match="a public context"):
        parse_public(context.serialize(**{**public_alone, **kept}))


def test_bytes_that_the_library_would_skip_are_refused(keys):
    public, _ = keys
    unknown_field = b"\x7a\x02ab"
    tenseal.context_from(public + unknown_field)
    with pytest.raises(ProtocolError, match="nothing else"):
        parse_public(public + unknown_field)


def test_oversized_and_broken_contexts_are_refused(keys):
    public, _ = keys
    for content in (b"", b"junk", public[:1000], public[:-5], bytes(400_001)):
        with pytest.raises(ProtocolError):
            parse_public(content)


def test_values_outside_the_plaintext_modulus_are_refused_instead_of_wrapped(keys):
    public, _ = keys
    for vector in ([PLAIN_MODULUS], [2**63], []):
        with pytest.raises(ProtocolError):
            SCHEME.encrypt(public, np.array(vector, dtype=np.uint64))


@pytest.mark.parametrize("stated", [1, 9, 11, NUM_SLOTS + 10])
def test_a_ciphertext_of_another_length_is_refused(keys, stated):
    public, _ = keys
    with pytest.raises(ProtocolError):
        SCHEME.add(public, [SCHEME.encrypt(public, residues(0, 10))], length=stated)


def test_broken_framing_is_refused_before_the_library_sees_it(keys):
    public, _ = keys
    good = SCHEME.encrypt(public, residues(0, 10))
    broken = [
        b"",
        good[:3],
        good[:-1],
        good + b"x",
        b"\x02" + good[1:],
        b"\xff" * 9,
        bytes(200_000),
    ]
    for content in broken:
        with pytest.raises(ProtocolError):
            SCHEME.add(public, [content], length=10)


def test_damaged_ciphertexts_never_end_in_another_error(keys):
    # Signatures refuse these first; here only: no crash and no foreign exception.
    public, _ = keys
    good, rng = SCHEME.encrypt(public, residues(0, 10)), random.Random(0)
    for _ in range(60):
        content = bytearray(good)
        for _ in range(3):
            content[rng.randrange(8, 300)] ^= 1 << rng.randrange(8)
        try:
            SCHEME.add(public, [bytes(content)], length=10)
        except ProtocolError:
            continue


def test_the_number_of_summands_is_capped(keys):
    public, _ = keys
    one = SCHEME.encrypt(public, residues(0, 1))
    with pytest.raises(ProtocolError, match="more than"):
        SCHEME.add(public, (one for _ in range(MAX_SUMMANDS + 1)), length=1)
    with pytest.raises(ProtocolError, match="no ciphertexts"):
        SCHEME.add(public, [], length=1)


def test_long_vectors_print_nothing_and_the_package_alone_loads_no_library():
    code = (
        "import sys, fedcausal_privacy, fedcausal_privacy.secure_sum.masks\n"
        "import fedcausal_privacy.disclosure.cell_rule\n"
        "assert 'tenseal' not in sys.modules\n"
        "import numpy as np\n"
        "from fedcausal_privacy.secure_sum.bfv import BfvScheme\n"
        "s = BfvScheme(); p, k = s.generate_keys()\n"
        "c = s.encrypt(p, np.arange(9000, dtype=np.uint64)); s.decrypt(k, c, length=9000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_no_ciphertext_is_larger_than_it_may_be(keys):
    public, _ = keys
    for length in (1, NUM_SLOTS, NUM_SLOTS + 1):
        content = BfvScheme().encrypt(public, np.ones(length, dtype=np.uint64))
        assert len(content) <= most_bytes(length)
