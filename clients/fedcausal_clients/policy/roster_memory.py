"""Over which rosters totals were released, from run to run: what the rule on atoms compares with.

A roster is written down before the total over it can be out. It stays until its run's attempt is
void with nothing released. Rosters of other versions of the data are kept and not compared.
"""

import json
from collections.abc import Sequence

from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.atoms import Members
from fedcausal_privacy.secure_sum.states import ReleasedRoster

__all__ = ["known_rosters", "remember_rosters"]

ROSTERS = "rosters"


def known_rosters(store: StateStore, run_id: str) -> tuple[Members, ...]:
    """The rosters of all other runs."""
    kept = _read(store)
    return tuple(members for run, rosters in kept.items() if run != run_id for members in rosters)


def remember_rosters(store: StateStore, run_id: str, released: Sequence[ReleasedRoster]) -> None:
    """Write a run's rosters down, durably."""
    kept = _read(store)
    rosters = [dict(entry.members) for entry in released]
    if rosters == kept.get(run_id, []):
        return
    changed: dict[str, JsonValue] = {**kept, run_id: rosters}
    store.write(ROSTERS, canonical_json(changed))


def _read(store: StateStore) -> dict[str, list[dict[str, str]]]:
    """What is kept; a file that cannot be read is an error, never an empty memory."""
    content = store.read(ROSTERS)
    if content is None:
        return {}
    try:
        kept: dict[str, list[dict[str, str]]] = json.loads(content)
    except ValueError:
        raise ProtocolError(
            f"state/{ROSTERS} cannot be read, and without it nothing may leave; restore it"
        ) from None
    return kept
