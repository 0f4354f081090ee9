"""Headers: two statements that differ in anything have different signed headers."""

from dataclasses import replace
from itertools import combinations

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.secure_sum import headers


def test_no_two_steps_sign_the_same_header(agreed):
    manifest = agreed.aggregator.manifest
    other = replace(manifest, study_hash="9" * 64)
    upload = {"round": 1, "attempt": 1, "statistic": "s", "roster_hash": "h"}
    over = {"roster_hash": "h"}
    signed = [
        headers.hello_header(run_id="run", sender="a", identity="i"),
        headers.hello_header(run_id="run", sender="a", identity="i", he_sha256="e"),
        headers.advertise_header(manifest, attempt=1, site="a", key="k"),
        headers.advertise_header(other, attempt=1, site="a", key="k"),
        headers.advertise_header(manifest, attempt=2, site="a", key="k"),
        headers.freeze_header(manifest, attempt=1, site="a", roster_hash="h"),
        headers.freeze_header(manifest, attempt=1, site="b", roster_hash="h"),
        headers.freeze_header(other, attempt=1, site="a", roster_hash="h"),
        headers.release_header(manifest, **upload),
        headers.void_header(manifest, attempt=1, last_released=0, is_released=False, **over),
        headers.void_header(manifest, attempt=1, last_released=1, is_released=False, **over),
        headers.void_header(manifest, attempt=1, last_released=1, is_released=True, **over),
        headers.void_header(manifest, attempt=2, last_released=0, is_released=False, **over),
        headers.pads_header(manifest, round=1, statistic="s", roster_hash="h"),
        headers.seed_header(
            manifest, kind="query.upload", round=1, statistic="s", site="a", ciphertext_sha256="c"
        ),
        headers.seed_header(
            manifest, kind="train.upload", round=1, statistic="s", site="a", ciphertext_sha256="c"
        ),
    ]
    signed += [
        headers.upload_header(
            manifest, **{"kind": "query.upload", "site": "a", **upload, **change}
        )
        for change in (
            {},
            {"kind": "train.upload"},
            {"site": "b"},
            {"round": 2},
            {"attempt": 2},
            {"statistic": "t"},
            {"roster_hash": "g"},
            {"seed_sha256": "c"},
        )
    ]
    contents = [canonical_json(header.to_json()) for header in signed]
    assert all(a != b for a, b in combinations(contents, 2))


def test_blob_names_tell_sites_and_statistics_apart():
    names = {
        headers.ciphertext_blob("s"),
        headers.forwarded_blob("s", "a"),
        headers.forwarded_blob("s", "b"),
        headers.forwarded_blob("t", "a"),
        headers.release_blob("s"),
        headers.seed_blob("s"),
        headers.forwarded_seed_blob("s", "a"),
        headers.pads_blob("s"),
    }
    assert len(names) == 8
