"""Which rosters may be released together: no difference of their totals shows few sites."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set

from fedcausal_privacy.envelopes import OnRefusal, refusal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.manifest import Manifest

__all__ = ["Members", "check_atoms", "members_of", "smallest_atom"]

# Site name to the version of its data.
Members = Mapping[str, str]


def members_of(manifest: Manifest, sites: Iterable[str]) -> dict[str, str]:
    """Some sites of a manifest with the versions of their data: what is remembered of a roster."""
    versions = {party.name: party.data_version for party in manifest.roster}
    wanted = tuple(sites)
    if not versions.keys() >= set(wanted):
        raise ProtocolError("a site is not in the manifest's roster")
    return {name: versions[name] for name in wanted}


def smallest_atom(rosters: Iterable[Set[str]]) -> int:
    """Fewest sites in a cell of the Boolean algebra that some rosters generate.

    Privacy: totals over several rosters can be added and subtracted, and two sites that are in
    the same rosters cannot be told apart by that. A smallest cell of one site is that site's
    value. Differences of pairs do not find it: {1,2,3}, {4,5,6} and {1,...,7} show site 7.

    >>> smallest_atom([{"a", "b", "c", "d"}, {"a", "b", "c"}])
    1
    """
    known = list(rosters)
    memberships = Counter(
        tuple(site in roster for roster in known) for site in set().union(*known)
    )
    return min(memberships.values(), default=0)


def check_atoms(
    released: Sequence[Members], roster: Members, *, k_min: int, on_refusal: OnRefusal
) -> None:
    """Refuse a roster whose total could be subtracted from earlier ones to show few sites.

    Compared are the earlier rosters of the same data: those in which every site that is in both
    has the same data version. A roster that was released before is always allowed.

    Parameters
    ----------
    released : sequence of mappings
        Rosters whose totals were released, or may have been.
    roster : mapping
        The roster of the next total.
    k_min : int
        Fewest sites that may stand together.
    """
    same_data = [
        set(other)
        for other in released
        if all(roster[site] == version for site, version in other.items() if site in roster)
    ]
    if set(roster) in same_data:
        return
    if smallest_atom([*same_data, set(roster)]) < k_min:
        raise refusal(
            "totals of these data over other rosters were released before; with this roster "
            f"their differences would show fewer than {k_min} sites",
            on_refusal,
        )
