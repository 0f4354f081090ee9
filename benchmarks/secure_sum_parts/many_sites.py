"""What an upload costs one site as the number of sites grows: two-steward, and masked beside it.

CPU of one site's whole upload step on 10^4 values of 64 bits, the same vector for every number of
sites, in turns. The peer is raw TenSEAL's encryption of the same limbs. In two-steward mode the
step should be flat. In masked mode the masks grow with the neighbours in the mask graph: all
others up to 64 sites, k above. Once per run a site also reads the manifest and, in masked mode,
checks every site's signatures on the roster; these grow with the sites and stand in lines of their
own. Seed 12.
"""

import sys
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from measure import Table, least_cpu_seconds, random_vectors, raw_encryption

from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing, site
from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import split_limbs, to_words
from fedcausal_privacy.secure_sum.manifest import MAX_SITES, Manifest, Mode, Party
from fedcausal_privacy.secure_sum.mask_graph import degree
from fedcausal_privacy.secure_sum.roster import Roster
from fedcausal_privacy.secure_sum.states import SiteState
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

NUMBERS = (10, 100, 1000)
SPEC = StatisticSpec(name="s", length=10**4, bound=2**52)


@dataclass(frozen=True)
class Place:
    """One site of a run of many, ready to upload: what the others said, without running them."""

    state: SiteState
    identity: Identity
    request: Message
    vector: IntVector

    def upload(self) -> SiteState:
        """The whole upload step; the state afterwards."""
        given = {"s": (SPEC, self.vector)}
        return site.step(self.state, self.request, identity=self.identity, contributions=given)[0]


def main() -> None:
    """Print the table."""
    table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print CPU per upload over numbers of sites, for both modes."""
    rows = Table()
    public, _ = BfvScheme().generate_keys()
    vector = next(random_vectors(12, 1, SPEC.length, SPEC.bound))
    raw = raw_encryption(public, split_limbs(to_words(vector, 2)))
    repeats = 11 if quick else 25
    for mode in ("two-steward", "masked"):
        numbers = [min(number, MAX_SITES[mode]) for number in NUMBERS]
        places = [_place(mode, number, public, vector) for number in numbers]
        if mode == "masked":
            places = [_after_first_upload(rows, place) for place in places]
        _manifests(rows, mode, places)
        encryption, *seconds = least_cpu_seconds(repeats, raw, *(p.upload for p in places))
        rows.row(f"{mode}: raw TenSEAL of the same limbs", f"{encryption * 1e3:.1f} ms")
        for number, spent in zip(numbers, seconds, strict=True):
            growth = spent / seconds[0]
            peers = "" if mode == "two-steward" else f", {degree(number)} neighbours"
            rows.row(
                f"{mode}: upload, K = {number}{peers}",
                f"{spent * 1e3:.1f} ms = {spent / encryption:.2f}x raw",
                f"{growth:.2f}x K = 10" + (" (<= 1.10x)" if mode == "two-steward" else ""),
                growth <= 1.1 if mode == "two-steward" else None,
            )
    return rows.holds


def _manifests(rows: Table, mode: Mode, places: list[Place]) -> None:
    for place in places:
        manifest = place.state.manifest
        assert manifest is not None
        written = manifest.to_json()
        (seconds,) = least_cpu_seconds(5, lambda w=written: Manifest.from_json(w).digest())
        number = len(manifest.roster)
        rows.row(f"{mode}: reading a run's manifest, K = {number}", f"{seconds * 1e3:.1f} ms")


def _place(mode: Mode, num_sites: int, public: bytes, vector: IntVector) -> Place:
    names = [f"site{i:04d}" for i in range(num_sites)]
    identities = {name: Identity.generate() for name in names}
    manifest = Manifest(
        run_id="run",
        study_hash="0" * 64,
        roster=tuple(Party(name=n, identity=i.public) for n, i in identities.items()),
        steward=Party(name="steward", identity=Identity.generate().public),
        he_sha256=sha256_hex(public),
        mode=mode,
        second_steward=None
        if mode == "masked"
        else Party(name="second-steward", identity=Identity.generate().public),
        pad_key="" if mode == "masked" else _public(X25519PrivateKey.generate()).hex(),
    )
    begun = site.begin(name=names[0], study_hash="0" * 64)
    state = replace(begun, manifest=manifest, public_context=public)
    header: dict[str, JsonValue] = {
        "run_id": "run",
        "round": 1,
        "attempt": 1,
        "statistics": {"s": SPEC.digest()},
        "sites": list(names),
    }
    if mode == "masked":
        state, freezes = _agreed(state, manifest, identities)
        header["freezes"] = [envelope.to_json() for envelope in freezes]
    request = Message(kind=headers.UPLOAD, header=header)
    return Place(state, identities[names[0]], request, vector)


def _agreed(
    state: SiteState, manifest: Manifest, identities: dict[str, Identity]
) -> tuple[SiteState, list[Envelope]]:
    """The state after the roster was frozen, and every site's signature over it."""
    keys = {name: X25519PrivateKey.generate() for name in identities}
    roster = Roster(
        attempt=1, sites=tuple(keys), keys=tuple(_public(key) for key in keys.values())
    )
    digest = roster.digest(manifest)
    freezes = [
        seal(identity, headers.freeze_header(manifest, attempt=1, site=n, roster_hash=digest))
        for n, identity in identities.items()
    ]
    own = keys[state.name].private_bytes_raw()
    return replace(state, ephemeral_key=own, roster=roster), freezes


def _after_first_upload(rows: Table, place: Place) -> Place:
    """The same place in the second round."""
    (seconds,) = least_cpu_seconds(2, place.upload)
    num_sites = len(parsing.strings(place.request.header, "sites"))
    rows.row(f"masked: first upload of a run, K = {num_sites}", f"{seconds * 1e3:.1f} ms")
    header = {**place.request.header, "round": 2}
    request = Message(kind=headers.UPLOAD, header=header)
    return Place(place.upload(), place.identity, request, place.vector)


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


if __name__ == "__main__":
    main()
