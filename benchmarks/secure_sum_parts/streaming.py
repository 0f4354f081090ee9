"""Memory of aggregator and steward while uploads stream in, over numbers of sites.

The real steps in two-steward mode (masked mode adds and passes on by the same code): each signed
upload is taken by the aggregator, added in batches, passed on to the steward, which adds again;
both drop what they added. Uploads of one ciphertext, signed by each site, are made as they are
sent. Peak memory above the agreed run, both parties together in a process of its own. Seed 14.
"""

import subprocess
import sys

from measure import PeakMemory, Table, random_vectors

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.envelopes import seal
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, headers, steward
from fedcausal_privacy.secure_sum.bfv import NUM_SLOTS, BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import split_limbs, to_words
from fedcausal_privacy.secure_sum.in_process import STEWARD, SecureSum
from fedcausal_privacy.secure_sum.pending import BATCH_BYTES
from fedcausal_privacy.statistic_spec import StatisticSpec

NUM_CHUNKS = 16
SPEC = StatisticSpec(name="s", length=NUM_CHUNKS * NUM_SLOTS // 2, bound=2**52)
CIPHERTEXT_MB = NUM_CHUNKS * 0.0657
SEALED_SEED = bytes(80)


def main() -> None:
    """Print the table; with `--memory K` only the peak of one round, for `table`."""
    if sys.argv[1:2] == ["--memory"]:
        sys.stdout.write(str(_peak_megabytes(int(sys.argv[2]))))
    else:
        table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print the peak for numbers of sites that fill at least two batches."""
    rows = Table()
    peaks = []
    for number in (80, 160) if quick else (80, 320, 999):
        command = [sys.executable, __file__, "--memory", str(number)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        peaks.append(float(done.stdout))
        rows.row(
            f"peak of a round, K = {number}, {number * CIPHERTEXT_MB:.0f} MB of uploads",
            f"{peaks[-1]:.1f} MB more",
        )
    growth, allowed = max(peaks) - peaks[0], BATCH_BYTES / 2e6
    rows.row(
        "growth of the peak over the number of sites",
        f"{growth:.1f} MB",
        f"<= half a batch, {allowed:.0f} MB",
        growth <= allowed,
    )
    return rows.holds


def _peak_megabytes(number: int) -> float:
    pool = SecureSum.open([f"site{i:04d}" for i in range(number)], mode="two-steward")
    vector = next(random_vectors(14, 1, SPEC.length, SPEC.bound))
    context = pool.aggregator.public_context
    ciphertext = BfvScheme().encrypt(context, split_limbs(to_words(vector, 2)))
    state, _ = aggregator.ask(pool.aggregator, specs=[SPEC])
    keys, identity = pool.steward, pool.identities[STEWARD]
    with PeakMemory() as peak:
        for name in pool.sites:
            # A copy of its own, as if it came from a socket.
            reply = _signed(pool, name, bytes(bytearray(ciphertext)))
            state, posts = aggregator.receive(state, name, reply)
            for post in posts:
                if post.message.kind == headers.COLLECT:
                    keys, answer = steward.step(keys, post.message, identity=identity)
                    state, _ = aggregator.receive(state, STEWARD, answer)
            del posts, reply
        assert state.phase == "pads"
    return peak.megabytes


def _signed(pool: SecureSum, name: str, ciphertext: bytes) -> Message:
    manifest = pool.aggregator.agreed_manifest
    common = {"kind": headers.UPLOAD, "round": 1, "statistic": SPEC.digest(), "site": name}
    upload = headers.upload_header(
        manifest, attempt=1, roster_hash="", seed_sha256=sha256_hex(SEALED_SEED), **common
    )
    seed = headers.seed_header(manifest, ciphertext_sha256=sha256_hex(ciphertext), **common)
    identity = pool.identities[name]
    return Message(
        kind=headers.UPLOAD,
        header={
            "envelopes": {"s": seal(identity, upload, ciphertext).to_json()},
            "seeds": {"s": seal(identity, seed, SEALED_SEED).to_json()},
        },
        blobs={
            headers.ciphertext_blob("s"): ciphertext,
            headers.seed_blob("s"): SEALED_SEED,
        },
    )


if __name__ == "__main__":
    main()
