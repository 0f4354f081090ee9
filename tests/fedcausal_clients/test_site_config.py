import re
import tomllib
from pathlib import Path

import pytest

from fedcausal.errors import StudyError
from fedcausal_clients.data.section import DataSection
from fedcausal_clients.site_config import Policy, SiteConfig, is_site_name

MANUAL = Path(__file__).resolve().parents[2] / "clients" / "README.md"
KEY = "ab" * 32
SITE = {
    "site": {"name": "north"},
    "data": {"source": "csv", "path": "rows.csv"},
    "trust": {"south": KEY},
}


def test_the_defaults_are_cautious():
    policy = SiteConfig.check(SITE).policy
    assert (policy.min_rows, policy.min_cell, policy.max_parameters_per_row) == (20, 5, 0.33)
    assert (policy.max_delta, policy.max_requests) == (1e-5, 20)
    assert policy.approved == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site": {"name": "no rth"}}, r"site.toml: site.name: expected letters"),
        ({"policy": {"min_row": 3}}, r"site.toml: policy.min_row: unknown key.*'min_rows'"),
        ({"policy": {"min_rows": 1}}, r"site.toml: policy.min_rows: expected"),
        ({"policy": {"max_dominance": 1.5}}, r"policy.max_dominance: expected"),
        ({"policy": {"max_numbers_per_value": 0}}, r"policy.max_numbers_per_value: expected"),
        ({"policy": {"differencing": "allow"}}, r"policy.differencing: expected"),
        ({"policy": {"approved": ["x"]}}, r"policy.approved: expected hashes of 64"),
        ({"policy": {"approve": "manual", "approved": [KEY]}}, r"policy.approved: approve ="),
        ({"data": {"source": "excel", "path": "a"}}, r"data.source: expected"),
        ({"data": {"source": "duckdb", "path": "a.duckdb"}}, r"data.table: a duckdb source"),
        ({"data": {**SITE["data"], "site_column": "c"}}, r"data.site_value: .*belong together"),
        ({"data": None}, r"site.toml: data: a site has a \[data\] section"),
        ({"trust": None}, r"site.toml: trust: the section is missing"),
        ({"units": {"sbp": "kPa"}}, r'units.sbp: expected .* write { unit = "kPa" }'),
        ({"trust": {"south": "abc"}}, r"trust.south: expected 64 hexadecimal digits"),
        ({"colums": {}}, r"site.toml: colums: unknown key; did you mean 'columns'\?"),
    ],
)
def test_faults_name_file_and_key(change, message):
    content = {k: v for k, v in {**SITE, **change}.items() if v is not None}
    with pytest.raises(StudyError, match=message) as caught:
        SiteConfig.check(content)
    assert caught.value.exit_code == 4


def test_only_a_simulated_site_trusts_anybody():
    without = {k: v for k, v in SITE.items() if k != "trust"}
    assert SiteConfig.check({**without, "simulation": {"seed": 1}}).trust is None


def test_a_steward_has_no_data():
    steward = {"site": {"name": "keys", "role": "steward"}, "trust": {"north": KEY}}
    assert SiteConfig.check(steward).data is None
    with pytest.raises(StudyError, match="a steward has none"):
        SiteConfig.check({**steward, "data": SITE["data"]})


def test_a_missing_or_broken_file(tmp_path):
    with pytest.raises(StudyError, match=r"there is no such file.* `fedcausal site init`"):
        SiteConfig.load(tmp_path)
    (tmp_path / "site.toml").write_bytes(b"\xff")
    with pytest.raises(StudyError, match="cannot be read as text"):
        SiteConfig.load(tmp_path)
    (tmp_path / "site.toml").write_text("[site\n")
    with pytest.raises(StudyError, match=r"site.toml: not valid TOML"):
        SiteConfig.load(tmp_path)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "é", "a" * 65, "a\n"])
def test_names_that_cannot_be_site_names(name):
    assert not is_site_name(name)


def test_the_same_content_is_parsed_once_and_other_content_anew(tmp_path):
    path = tmp_path / "site.toml"
    text = '[site]\nname = "north"\nrole = "steward"\n[trust]\nsouth = "' + "ab" * 32 + '"\n'
    path.write_text(text)
    first = SiteConfig.load(tmp_path)
    assert SiteConfig.load(tmp_path) is first
    path.write_text(text.replace("north", "worth"))
    assert SiteConfig.load(tmp_path).site.name == "worth"
    path.write_text(text)
    assert SiteConfig.load(tmp_path) == first


def test_the_hospitals_manual_names_every_key():
    text = MANUAL.read_text()
    for key in (*DataSection.model_fields, *Policy.model_fields):
        assert f"`{key}`" in text, key


def test_the_site_files_of_the_manual_are_read():
    blocks = re.findall(r"(?:^(?:    .*)?\n)+", MANUAL.read_text(), re.MULTILINE)
    blocks = [re.sub("^    ", "", block, flags=re.MULTILINE).strip() for block in blocks]
    parts = [block for block in blocks if block.startswith("[")]
    assert {line for part in parts for line in part.splitlines() if line.startswith("[")} >= {
        "[data]",
        "[columns]",
        "[levels.sex]",
        "[units]",
        "[policy]",
        "[monitoring]",
    }
    for part in parts:
        # The manual writes words where a hash goes.
        content = tomllib.loads(part.replace("64 hexadecimal digits", KEY))
        assert SiteConfig.check({**SITE, **content})
