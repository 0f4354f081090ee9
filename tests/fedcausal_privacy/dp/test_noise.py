import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy import stats

from fedcausal_privacy.dp.noise import SecureNoise
from fedcausal_privacy.errors import InputError

KEY = bytes(range(32))
# Each test below fails a right sampler with this probability (the key is fixed: no flakiness).
LEVEL = 1e-3


def test_uniform_numbers_come_from_the_cipher():
    keystream = Cipher(algorithms.AES(KEY), modes.CTR(bytes(16))).encryptor().update(bytes(80))
    words = np.frombuffer(keystream, dtype="<u8")
    expected = [((int(word) >> 12) + 0.5) / 2**52 for word in words]
    assert SecureNoise.from_key(KEY).uniform(10).tolist() == expected


def test_uniform_numbers_are_uniform_inside_the_open_interval():
    numbers = SecureNoise.from_key(KEY).uniform(200_000)
    assert numbers.min() > 0.0
    assert numbers.max() < 1.0
    assert stats.kstest(numbers, "uniform").pvalue > LEVEL


@pytest.mark.parametrize("size", [100_001, 300_000])
def test_normal_numbers_are_standard_normal(size):
    numbers = SecureNoise.from_key(KEY).normal(size)
    assert numbers.shape == (size,)
    assert stats.kstest(numbers, "norm").pvalue > LEVEL
    quantile = stats.norm.isf(LEVEL / 2)
    assert abs(numbers.mean()) < quantile / np.sqrt(size)
    assert abs(numbers.var() - 1.0) < quantile * np.sqrt(2 / size)
    assert abs((numbers**4).mean() - 3.0) < quantile * np.sqrt(96 / size)


def test_neighbouring_and_mirrored_numbers_are_uncorrelated():
    numbers = SecureNoise.from_key(KEY).normal(100_000)
    bound = stats.norm.isf(LEVEL / 4) / np.sqrt(50_000)
    halves = np.corrcoef(numbers[:50_000], numbers[50_000:])[0, 1]
    lagged = np.corrcoef(numbers[:-1:2], numbers[1::2])[0, 1]
    assert abs(halves) < bound
    assert abs(lagged) < bound


def test_a_fresh_source_never_repeats_whatever_the_seeds():
    draws = []
    for _ in range(2):
        np.random.seed(0)
        draws.append(SecureNoise().normal(1000))
    bound = stats.norm.isf(1e-9) / np.sqrt(1000)  # no seed: a false alarm must be out of reach
    assert abs(np.corrcoef(*draws)[0, 1]) < bound
    assert not np.intersect1d(*draws).size


def test_one_source_does_not_repeat_itself():
    source = SecureNoise.from_key(KEY)
    assert not np.intersect1d(source.normal(1000), source.normal(1000)).size


def test_a_key_has_32_bytes():
    with pytest.raises(InputError, match="32 bytes"):
        SecureNoise.from_key(b"short")


def test_nothing_is_drawn_for_size_zero():
    assert SecureNoise().normal(0).shape == (0,)
