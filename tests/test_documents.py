"""The documents name files of this tree: a file that moves takes its name in them along."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = {
    path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if ".venv" not in str(path)
}


def missing(text, files):
    """Python files in code spans that are no file of the tree, nor the end of one's path."""
    named = re.findall(r"`([\w/-]+\.py)`", text)
    return [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)]


@pytest.mark.parametrize("name", ["docs/method.md", "docs/security.md", "README.md"])
def test_every_file_that_a_document_names_is_there(name):
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"there is no {name}")
    assert missing(path.read_text(encoding="utf-8"), FILES) == []


def test_a_file_that_is_not_there_is_seen():
    assert missing("`scores/score.py` and `scores/scare.py`", FILES) == ["scores/scare.py"]
