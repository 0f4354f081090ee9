"""The site file: where a site's data are and what its policy lets out; it stays at the site."""

import re
from pathlib import Path
from sys import intern
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, field_validator, model_validator

from fedcausal.errors import StudyError
from fedcausal.study import Study
from fedcausal.study_file.errors import refuse
from fedcausal_clients.config_section import SITE_FILE, Section
from fedcausal_clients.data.section import DataSection, UnitSection
from fedcausal_privacy.canonical import sha256_hex

__all__ = [
    "DataSection",
    "MonitoringSection",
    "Policy",
    "Section",
    "SimulationSection",
    "SiteConfig",
    "SiteSection",
    "UnitSection",
    "is_site_name",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")

_Texts = Annotated[tuple[str, ...], Strict(False)]


def is_site_name(name: str) -> bool:
    """Whether a name can stand in messages, file names and reports as it is."""
    return _NAME.fullmatch(name) is not None


class SiteSection(Section):
    """Who this is, and what it does in a study."""

    name: str
    role: Literal["site", "steward", "second-steward"] = "site"
    passphrase_file: str | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not is_site_name(name):
            raise refuse(
                f'expected letters, digits, "_", "." or "-" (at most 64), got "{name}"; '
                'write name = "hospital_a"'
            )
        return name


class Policy(Section):
    """What this site lets out. The coordinator can ask for more caution, never for less.

    Attributes
    ----------
    min_rows
        Fewest rows with which the site takes part.
    min_cell
        Smallest cell rule that a study must have: totals below it are withheld at release.
    max_parameters_per_row
        Saturation: parameters of the largest Gram or model over the site's rows, for releases
        without differential privacy.
    max_numbers_per_value
        Numbers released without differential privacy of these rows over all studies and runs
        (a total of K sites counts 1 / K), over the site's rows times the study's variables.
    max_dominance
        Largest share that one record may have in a variable's squares about the mean, for sums
        of values without differential privacy.
    differencing
        `refuse` or `warn` (in audit log and ledger): a release without differential privacy when
        fewer than `min_rows` records changed since an earlier one. Rosters whose totals together
        would show a few sites are refused whatever stands here.
    max_epsilon
        Budget over all studies on this site's data at each study's delta; with a budget, a
        release without differential privacy is refused.
    max_delta
        Largest delta of a study with an epsilon: at a delta near 1 every epsilon is small.
    max_requests
        Different requests of one kind for one study, over all its runs (for training: times the
        study's rounds). An honest run makes one, or a few; comparing the totals of many requests
        that differ a little is how one record is found in sums.
    release_alone
        Whether exact sums of this site's rows alone may be released, open and signed, to a study
        with `[federation] robust`. Such a study refuses nothing else of this policy: rows, cells,
        parameters and numbers per value are checked as for a total of one site.
    allow
        Kinds of statistics; None allows all that the installed version has.
    mechanisms
        Names of users' own mechanisms that may run on this site's rows: code of packages that
        its operator installed here. None as it stands.
    approve, approved
        `by_hash`: studies whose hash is in `approved`. `manual`: only studies that the operator
        approved one by one, which is kept in the site's state folder.
    """

    min_rows: int = Field(default=20, ge=2)
    min_cell: int = Field(default=5, ge=1)
    max_parameters_per_row: float = Field(default=0.33, gt=0)
    max_numbers_per_value: float = Field(default=0.33, gt=0)
    max_dominance: float = Field(default=0.9, gt=0, le=1)
    differencing: Literal["refuse", "warn"] = "refuse"
    max_epsilon: float | None = Field(default=None, gt=0)
    max_delta: float = Field(default=1e-5, gt=0, lt=1)
    max_requests: int = Field(default=20, ge=1)
    release_alone: bool = False
    allow: _Texts | None = None
    mechanisms: _Texts = ()
    approve: Literal["by_hash", "manual"] = "by_hash"
    approved: _Texts = ()

    @field_validator("approved")
    @classmethod
    def _hashes(cls, approved: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [h for h in approved if not _HASH.fullmatch(h)]
        if wrong:
            raise refuse(
                f"expected hashes of 64 hexadecimal digits, got {wrong[0]!r}; "
                "copy the hash that `fedcausal study hash` prints"
            )
        return approved

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.approve == "manual" and self.approved:
            raise refuse(
                'approve = "manual" keeps approvals in the site\'s state; remove the key or '
                'write approve = "by_hash"',
                key="approved",
            )
        return self


class MonitoringSection(Section):
    """Opens a port of this daemon for metrics and health checks; closed without the section."""

    port: int = Field(default=9465, ge=1, le=65535)
    bind: Literal["127.0.0.1", "0.0.0.0"] = "127.0.0.1"  # noqa: S104 - a container's own network


class SimulationSection(Section):
    """Marks a simulated site: local resampling is drawn from this seed, never noise or keys."""

    seed: int = Field(ge=0)


class SiteConfig(Section):
    """A whole site file.

    `columns` maps variables to this site's columns, `levels` a variable's words at this site to
    the study's levels, `units` says what a variable is measured in here.

    `trust` pins the public keys (64 hexadecimal digits) of the other sites and of the stewards by
    name. A site without it would accept whoever the coordinator presents, so only a simulated
    site may leave it out.
    """

    site: SiteSection
    data: DataSection | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    levels: dict[str, dict[str, str]] = Field(default_factory=dict)
    units: dict[str, UnitSection] = Field(default_factory=dict)
    policy: Policy = Policy()
    monitoring: MonitoringSection | None = None
    trust: dict[str, str] | None = None
    simulation: SimulationSection | None = None

    @field_validator("trust")
    @classmethod
    def _shared(cls, trust: dict[str, str] | None) -> dict[str, str] | None:
        """One copy of each name and key in a process that plays many sites."""
        return (
            None if trust is None else {intern(name): intern(key) for name, key in trust.items()}
        )

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.site.role == "site") != (self.data is not None):
            raise refuse(
                "a site has a [data] section and a steward has none; "
                'write [data] with source and path, or role = "steward"',
                key="data",
            )
        if self.trust is None and self.simulation is None:
            raise refuse(
                "the section is missing; write the public key of every other site and of the "
                'steward: hospital_b = "64 hexadecimal digits"',
                key="trust",
            )
        wrong = [name for name, key in (self.trust or {}).items() if not _HASH.fullmatch(key)]
        if wrong:
            raise refuse("expected 64 hexadecimal digits", key=f"trust.{wrong[0]}")
        return self

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `site.toml` of a home folder; every fault names the file and the key.

        A file with the same content as one that was read before is not parsed again: with many
        sites its `[trust]` is long, and every message reads it.
        """
        path = home / SITE_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise StudyError(
                f"{path}: there is no such file; name a party's folder, or make one with "
                "`fedcausal site init`"
            ) from None
        except (OSError, UnicodeDecodeError):
            raise StudyError(f"{path}: cannot be read as text; write a site file there") from None
        digest = sha256_hex(text.encode())
        known = _READ.get(digest)
        if not isinstance(known, cls):
            known = cls.check(Study.parse(text, source=SITE_FILE))
            if len(_READ) >= MOST_READ:
                _READ.clear()
            _READ[digest] = known
        return known


MOST_READ = 1024
_READ: dict[str, SiteConfig] = {}
