"""More cores give the same bytes, and a worker that fails costs nothing but time."""

import io
import sys

import numpy as np
import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import chunk_workers
from fedcausal_privacy.secure_sum.bfv import NUM_SLOTS, BfvScheme
from fedcausal_privacy.secure_sum.chunk_workers import (
    Worker,
    divide,
    divide_here_first,
    num_cores,
    read_frame,
    share,
    spare_workers,
    write_frame,
)

SCHEME = BfvScheme()
LENGTH = 9 * NUM_SLOTS + 5


@pytest.fixture(scope="module")
def keys():
    return SCHEME.generate_keys()


@pytest.fixture(scope="module")
def residues():
    return np.random.default_rng(0).integers(0, 2**32, LENGTH, dtype=np.uint64)


@pytest.fixture
def three_cores(monkeypatch):
    """Tasks of two chunks and more are shared with two workers that are ready."""
    monkeypatch.setattr(chunk_workers, "num_cores", lambda: 3)
    monkeypatch.setattr(chunk_workers, "_CHUNKS_WORTH_STARTING", 2)
    monkeypatch.setattr(chunk_workers, "_CHUNKS_WORTH_SHARING", 2)
    with spare_workers(LENGTH) as workers:
        for worker in workers:
            if not worker.is_ready:
                worker.receive()
    return workers


@pytest.fixture(scope="module", autouse=True)
def no_process_stays():
    yield
    chunk_workers._close_all()


@pytest.mark.parametrize(("total", "workers"), [(1, 0), (1, 3), (16, 15), (489, 1), (489, 15)])
def test_this_process_takes_the_largest_part_of_a_sum(total, workers):
    slices = divide_here_first(total, workers)
    assert len(slices) == 1 + workers
    assert [i for s in slices for i in range(total)[s]] == list(range(total))
    sizes = [s.stop - s.start for s in slices]
    assert sizes[0] == max(sizes)
    assert sizes[0] > 0


@pytest.mark.parametrize(("total", "parts"), [(0, 1), (1, 1), (5, 2), (2, 5), (489, 16)])
def test_divided_slices_cover_the_range_once(total, parts):
    slices = divide(total, parts)
    assert len(slices) == parts
    assert [i for s in slices for i in range(total)[s]] == list(range(total))
    sizes = [s.stop - s.start for s in slices]
    assert max(sizes) - min(sizes) <= 1


def test_a_scheduler_limits_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert num_cores() == 1
    for other in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", other)
        assert num_cores() >= 1


def test_frames_there_and_back_and_cut_short():
    pipe = io.BytesIO()
    write_frame(pipe, b"E", b"ab", b"", b"c")
    assert read_frame(io.BytesIO(pipe.getvalue())) == (b"E", b"abc")
    for length in range(len(pipe.getvalue())):
        with pytest.raises(EOFError):
            read_frame(io.BytesIO(pipe.getvalue()[:length]))


def test_small_tasks_and_single_cores_get_no_worker(monkeypatch):
    monkeypatch.setattr(chunk_workers, "num_cores", lambda: 3)
    with spare_workers(15) as workers:
        assert workers == []
    monkeypatch.setattr(chunk_workers, "num_cores", lambda: 1)
    with spare_workers(10**6) as workers:
        assert workers == []


def test_a_second_task_at_the_same_time_gets_no_worker(three_cores):
    with spare_workers(LENGTH) as first, spare_workers(LENGTH) as second:
        assert (first, second) == (three_cores, [])


def test_encryption_by_several_processes_is_encryption(three_cores, keys, residues):
    public, secret = keys
    ciphertext = SCHEME.encrypt(public, residues)
    assert (SCHEME.decrypt(secret, ciphertext, length=LENGTH) == residues).all()
    assert all(worker.is_alive for worker in three_cores)


def test_the_sum_has_the_same_bytes_on_any_number_of_cores(
    three_cores, keys, residues, monkeypatch
):
    public, _ = keys
    ciphertexts = [SCHEME.encrypt(public, residues) for _ in range(3)]
    shared = SCHEME.add(public, iter(ciphertexts), length=LENGTH)
    monkeypatch.setattr(chunk_workers, "num_cores", lambda: 1)
    assert SCHEME.add(public, iter(ciphertexts), length=LENGTH) == shared


def test_what_a_worker_refuses_is_refused_and_the_next_task_is_clean(three_cores, keys, residues):
    public, secret = keys
    good = SCHEME.encrypt(public, residues)
    damaged = bytearray(good)
    last_chunk = good.rindex(good[8:14])
    damaged[last_chunk : last_chunk + 6] = bytes(6)
    for bad in (bytes(damaged), good[:-1]):
        with pytest.raises(ProtocolError):
            SCHEME.add(public, [good, bad], length=LENGTH)
        total = SCHEME.add(public, [good, good], length=LENGTH)
        expected = (2 * residues).tolist()
        assert SCHEME.decrypt(secret, total, length=LENGTH).tolist() == expected


def test_work_of_a_killed_worker_is_done_by_the_others(three_cores, keys, residues):
    public, secret = keys
    three_cores[0]._process.kill()
    ciphertext = SCHEME.encrypt(public, residues)
    assert (SCHEME.decrypt(secret, ciphertext, length=LENGTH) == residues).all()


def test_a_program_that_is_no_worker_is_not_waited_for():
    silent = Worker([sys.executable, "-c", "pass"])
    answers = share([silent], b"", [b"1", b"2"], lambda item: item + b"!")
    assert answers == [b"1!", b"2!"]
    silent.close()
