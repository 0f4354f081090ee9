import io
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk

from fedcausal.daemons.bundle import FILES, thin_bundle, thin_bundle_hash

SOURCE = Path(__file__).resolve().parents[3] / "deploy" / "flwr-app"


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_the_bundle_is_what_flower_builds_from_the_folder():
    assert thin_bundle() == build_fab_from_disk(SOURCE)


def test_the_bundle_holds_names_and_no_code():
    with zipfile.ZipFile(io.BytesIO(thin_bundle())) as archive:
        assert sorted(archive.namelist()) == [".info/CONTENT", "BUNDLE.md", "pyproject.toml"]
    assert not any(name.endswith(".py") for name in FILES)


def test_the_hash_is_the_same_every_time():
    assert thin_bundle_hash() == thin_bundle_hash()
    assert len(thin_bundle_hash()) == 64
