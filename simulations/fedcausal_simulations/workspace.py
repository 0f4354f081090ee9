"""A workspace: the study, and one home folder for every simulated site and steward."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import tomli_w

from fedcausal.data.sources import to_arrow
from fedcausal.errors import InputError
from fedcausal.study import Study
from fedcausal_clients.home import create_identity
from fedcausal_clients.site_config import SiteConfig

__all__ = [
    "SECOND_STEWARD",
    "STEWARD",
    "Node",
    "prepare_workspace",
    "read_nodes",
    "site_names",
    "stewards_of",
]

STEWARD = "steward"
SECOND_STEWARD = "second-steward"
DATA_FILE = "data.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a workspace: its name, its role, its home folder inside the workspace."""

    name: str
    role: str
    home: str


def prepare_workspace(
    study: Study,
    tables_by_site: Mapping[str, Any],
    folder: Path,
    *,
    seed: int,
    policy: Mapping[str, object] | None = None,
) -> Path:
    """Write everything that the nodes of a simulation read; return the folder.

    Parameters
    ----------
    study
        Approved by every site's policy, by its hash.
    tables_by_site
        Rows of each site: a frame, an Arrow table or a path.
    folder
        New or empty.
    seed
        Local resampling at the sites is drawn from it. Keys and noise never are.
    policy
        Keys of `[policy]` of `site.toml`, the same at every site.

    Raises
    ------
    InputError
        Too few sites, a folder in use, or two sites whose names are the same once sanitised.
    """
    study.check_num_sites(len(tables_by_site))
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: expected a new or an empty folder; name another one")
    names = site_names(list(tables_by_site))
    stewards = stewards_of(study)
    keys = {name: create_identity(folder / name) for name in (*names.values(), *stewards)}
    for site, table in tables_by_site.items():
        _write_site(folder / names[site], names[site], table, study, keys, seed, policy or {})
    for steward in stewards:
        _write_toml(
            folder / steward,
            {
                "site": {"name": steward, "role": steward},
                "trust": _others(keys, steward),
                "simulation": {"seed": seed},
            },
        )
    nodes = [Node(name=name, role="site", home=name) for name in sorted(names.values())]
    nodes += [Node(name=steward, role=steward, home=steward) for steward in stewards]
    (folder / "study.toml").write_text(study.to_toml(), encoding="utf-8")
    listed = json.dumps([asdict(node) for node in nodes], indent=2)
    (folder / "nodes.json").write_text(listed, encoding="utf-8")
    return folder


def stewards_of(study: Study) -> tuple[str, ...]:
    """Names (and roles) of the stewards that a study's mode needs."""
    return (STEWARD, SECOND_STEWARD) if study.privacy.mode == "two-steward" else (STEWARD,)


def read_nodes(workspace: Path) -> tuple[Node, ...]:
    """The nodes of a workspace, in the order of their partition ids."""
    try:
        listed = json.loads((workspace / "nodes.json").read_text(encoding="utf-8"))
        return tuple(Node(**node) for node in listed)
    except (OSError, ValueError, TypeError):
        raise InputError(f"{workspace}: not a workspace; prepare one first") from None


def site_names(labels: list[str]) -> dict[str, str]:
    """Names that may stand in files and messages, for labels that people gave.

    >>> site_names(["Zürich (Süd)", "north"])
    {'Zürich (Süd)': 'Z_rich_S_d', 'north': 'north'}
    """
    names = {label: _plain(label) for label in labels}
    taken: dict[str, str] = {}
    for label, name in names.items():
        if not name:
            raise InputError(
                f"site {label!r}: expected a letter from a to z or a digit; rename it"
            )
        if name.casefold() in (STEWARD, SECOND_STEWARD):
            raise InputError(f"site {label!r}: this is a key steward's name; rename the site")
        other = taken.setdefault(name.casefold(), label)
        if other != label:
            raise InputError(
                f"sites {other!r} and {label!r}: expected names that differ in letters, digits, "
                f"'_', '.' or '-', got {name!r} for both; rename one"
            )
    return names


def _plain(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", str(label)).strip("_.-")[:64]


def _write_site(
    home: Path,
    name: str,
    table: Any,
    study: Study,
    keys: Mapping[str, str],
    seed: int,
    policy: Mapping[str, object],
) -> None:
    pq.write_table(to_arrow(table), home / DATA_FILE)
    _write_toml(
        home,
        {
            "site": {"name": name},
            "data": {"source": "parquet", "path": DATA_FILE},
            "policy": {**policy, "approve": "by_hash", "approved": [study.hash()]},
            "trust": _others(keys, name),
            "simulation": {"seed": seed},
        },
    )


def _others(keys: Mapping[str, str], name: str) -> dict[str, str]:
    return {other: key for other, key in keys.items() if other != name}


def _write_toml(home: Path, content: dict[str, Any]) -> None:
    SiteConfig.check(content)
    (home / "site.toml").write_text(tomli_w.dumps(content), encoding="utf-8")
