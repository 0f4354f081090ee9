"""What a site costs the aggregator: time beside one encryption, and memory beside the sites.

One encryption is raw TenSEAL's of the same limbs, in turns with the rest. Seed 8.
"""

import subprocess
import sys
from collections.abc import Iterator

import tenseal
from measure import PeakMemory, Table, least_cpu_seconds, random_vectors, raw_encryption

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.secure_sum.bfv import NUM_SLOTS, BfvScheme, parse_public
from fedcausal_privacy.secure_sum.fixed_point import split_limbs, to_words

NUM_CHUNKS = 40
CIPHERTEXT_MB = NUM_CHUNKS * 0.0657


def main() -> None:
    """Print the table; with `--memory K` only the peak of one sum, for `_memory`."""
    if sys.argv[1:2] == ["--memory"]:
        sys.stdout.write(str(_peak_megabytes(int(sys.argv[2]))))
    else:
        table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print time per site, then peak memory over numbers of sites."""
    rows = Table()
    scheme = BfvScheme()
    public, _ = scheme.generate_keys()
    _times(rows, scheme, public, 10**4 if quick else 10**5)
    _memory(rows, (10, 100) if quick else (10, 100, 1000))
    return rows.holds


def _times(rows: Table, scheme: BfvScheme, public: bytes, length: int) -> None:
    limbs = split_limbs(to_words(next(random_vectors(8, 1, length, 2**60)), 2))
    context, raw = parse_public(public), raw_encryption(public, limbs)
    chunks, sent = raw(), scheme.encrypt(public, limbs)
    loaded = [tenseal.bfv_vector_from(context, chunk) for chunk in chunks]
    total = [tenseal.bfv_vector_from(context, chunk) for chunk in chunks]

    def add() -> None:
        for one, other in zip(total, loaded, strict=True):
            one.add_(other)

    many = 10
    encryption, addition, few, more, digest = least_cpu_seconds(
        7,
        raw,
        add,
        lambda: scheme.add(public, [sent] * 2, length=limbs.size),
        lambda: scheme.add(public, [sent] * (2 + many), length=limbs.size),
        lambda: sha256_hex(sent),
    )
    one_more = (more - few) / many
    rows.row(f"one encryption of {length} values (raw TenSEAL)", f"{encryption * 1e3:.1f} ms")
    for name, seconds, reach in (
        ("addition", addition, 0.05),
        ("one more site in the sum: check, deserialise, add", one_more, 0.12),
        ("the same and its hash", one_more + digest, None),
    ):
        share = seconds / encryption
        rows.row(
            name,
            f"{seconds * 1e3:.2f} ms = {share:.1%}",
            "" if reach is None else f"<= {reach:.0%}",
            None if reach is None else share <= reach,
        )


def _memory(rows: Table, numbers: tuple[int, ...]) -> None:
    """Each sum in a process of its own, whose memory no earlier sum has widened."""
    peaks = []
    for number in numbers:
        command = [sys.executable, __file__, "--memory", str(number)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        peaks.append(float(done.stdout))
        rows.row(
            f"peak memory of the sum of {number} ciphertexts of {CIPHERTEXT_MB:.2f} MB",
            f"{peaks[-1]:.1f} MB more",
        )
    growth = max(peaks) - peaks[0]
    rows.row(
        "growth of the peak over the number of sites",
        f"{growth:.1f} MB",
        "<= 2 ciphertexts",
        growth <= 2 * CIPHERTEXT_MB,
    )


def _peak_megabytes(number: int) -> float:
    length, scheme = NUM_CHUNKS * NUM_SLOTS, BfvScheme()
    public, _ = scheme.generate_keys()
    limbs = split_limbs(to_words(next(random_vectors(8, 1, length // 2, 2**60)), 2))
    sent = scheme.encrypt(public, limbs)

    def arriving() -> Iterator[bytes]:
        for _ in range(number):
            yield bytes(bytearray(sent))  # a copy of its own, as if it came from a socket

    with PeakMemory() as peak:
        scheme.add(public, arriving(), length=length)
    return peak.megabytes


if __name__ == "__main__":
    main()
