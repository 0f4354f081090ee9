"""A site's own copy of a run's model, in which its own mechanisms replace shared ones."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from fedcausal.errors import InputError
from fedcausal.model.artifact import manifest, save
from fedcausal.model.site_heads import with_own_heads
from fedcausal.results.run import CARD_FILE, MODEL_FOLDER, RESULT_FILE, load_run
from fedcausal.study import Study
from fedcausal_clients.data.site_data import open_source
from fedcausal_clients.site_config import SiteConfig

__all__ = ["HEADS_FOLDER", "write_own_model"]

HEADS_FOLDER = "heads"
STUDY_FILE = "study.toml"


def write_own_model(
    run: str, home: Path, *, nodes: Sequence[str] = (), family: str | None = None
) -> tuple[Path, tuple[str, ...]]:
    """Fit the mechanisms of `nodes` to the site's rows; the folder of the copy, and the nodes.

    Without `nodes`: those that the run's sums over sites found to differ. The copy is a run folder
    that `fedcausal model` reads, under `heads/` of the site's folder, for its owner alone.

    Privacy: reads the site's rows and writes to the site's disk; no message is sent. The copy
    holds a function of the rows without noise: it is the site's to keep.

    Raises
    ------
    InputError
        No mechanism differs and none is named, or a name is unknown.
    """
    found, config = load_run(run), SiteConfig.load(home)
    chosen = tuple(nodes) or tuple(found.findings.get("varying", {}))
    if not chosen:
        raise InputError(
            f"{found.path}: no mechanism was found to differ between sites; name one with --node"
        )
    study = Study.load(found.path / STUDY_FILE)
    asked = found.model if family is None else found.model.of_family(family)
    own = with_own_heads(asked.load(), study, open_source(config, study, home), chosen)
    folder = home / HEADS_FOLDER / found.path.resolve().name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in (RESULT_FILE, CARD_FILE, STUDY_FILE):
        shutil.copyfile(found.path / name, folder / name)
    heads = {"site": config.site.name, "nodes": list(chosen)}
    extra = {**manifest(asked.folder)["extra"], "heads": heads}
    save([own], folder / MODEL_FOLDER, extra)
    return folder, chosen
