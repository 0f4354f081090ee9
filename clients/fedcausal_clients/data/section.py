"""The part of the site file that says where the rows are and what they are measured in."""

from collections.abc import Iterator
from typing import Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator, model_validator

from fedcausal.data.units import SiteUnit
from fedcausal.study_file.errors import Problem, refuse, refuse_all
from fedcausal_clients.config_section import Section

__all__ = ["DataSection", "UnitSection"]

Source = Literal["csv", "parquet", "duckdb", "postgresql", "omop"]

_QUERIES = ("table", "sql", "sql_file")
_FILES = ("csv", "parquet")


class DataSection(Section):
    """Where the rows are; `site_column` with `site_value` selects this site's rows of a file.

    Attributes
    ----------
    source
        `csv`, `parquet`: a file. `duckdb`: a table or query of a DuckDB file. `postgresql`: a
        table or query of a server. `omop`: a query of an OMOP CDM 5.4, in either.
    version
        The operator's label of these rows. Totals over different rosters of the same version are
        refused when their differences would show few sites; set a new one when the rows were
        exchanged for others, not when a few were added.
    path
        A file, from the site's folder on.
    url
        `postgresql://user@host/database?sslmode=verify-full`, without a password.
    table, sql, sql_file
        One of them: a table (or `schema.table`), a SELECT, or a file with one.
    password_env, password_file
        The environment variable, or the file (mode 0600), that has the password; neither where
        the server knows the role by other means.
    timeout_seconds
        How long one query, or fetching one batch of it, may take at a server.
    """

    source: Source
    path: str | None = Field(default=None, min_length=1)
    url: str | None = Field(default=None, min_length=1, repr=False)
    version: str = Field(default="1", min_length=1, max_length=64)
    table: str | None = Field(default=None, min_length=1)
    sql: str | None = Field(default=None, min_length=1)
    sql_file: str | None = Field(default=None, min_length=1)
    password_env: str | None = Field(default=None, min_length=1)
    password_file: str | None = Field(default=None, min_length=1)
    timeout_seconds: int = Field(default=600, ge=1, le=86_400)
    site_column: str | None = None
    site_value: str | None = None

    @field_validator("path", "sql_file", "password_file")
    @classmethod
    def _a_path(cls, path: str | None) -> str | None:
        if path is not None and not path.isprintable():
            raise refuse("expected a path of printable characters; correct it")
        return path

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        """Refuse a password in the file; the message never repeats what was written."""
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            names = {name.casefold() for name, _ in parse_qsl(parts.query)}
            is_secret = parts.password is not None or any("password" in name for name in names)
        except ValueError:
            raise refuse("expected postgresql://user@host:5432/database; correct it") from None
        if is_secret:
            raise refuse(
                "expected no password in this file; remove it and write "
                'password_env = "NAME_OF_A_VARIABLE" or password_file = "db.password"'
            )
        if parts.scheme not in ("postgresql", "postgres"):
            raise refuse("expected an address that begins with postgresql://; correct it")
        return url

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problems = [*self._place_problems(), *self._query_problems(), *self._site_problems()]
        if problems:
            raise refuse_all(problems)
        return self

    def _place_problems(self) -> Iterator[Problem]:
        wants_url = self.source == "postgresql" or (self.source == "omop" and self.path is None)
        if wants_url and self.url is None:
            yield (
                "url",
                f"a {self.source} source has an address; write "
                'url = "postgresql://user@host/database"',
            )
        if not wants_url and self.path is None:
            yield "path", f'a {self.source} source has a file; write path = "rows.{self.source}"'
        if self.url is not None and (self.path is not None or not wants_url):
            yield "url", f"a {self.source} source with a file has no address; remove url"
        if self.path is not None and self.source == "postgresql":
            yield "path", "a postgresql source has no file; remove path"
        if self.url is None and (self.password_env or self.password_file):
            yield "password_env", "a file has no password; remove password_env and password_file"
        if self.password_env and self.password_file:
            yield "password_file", "password_env names one already; remove one of the two"

    def _query_problems(self) -> Iterator[Problem]:
        given = [key for key in _QUERIES if getattr(self, key) is not None]
        allowed = {"csv": (), "parquet": (), "omop": ("sql", "sql_file")}.get(
            self.source, _QUERIES
        )
        for key in given:
            if key not in allowed:
                yield key, f"a {self.source} source has none; remove {key}"
        if allowed and not given:
            first = 'table = "patients", or ' if "table" in allowed else ""
            yield (
                allowed[0],
                f"a {self.source} source says which rows; write {first}"
                'sql_file = "cohort.sql" (or sql = "SELECT ...")',
            )
        if len(given) > 1:
            yield given[1], f"{given[0]} is given already; remove one of the two"

    def _site_problems(self) -> Iterator[Problem]:
        if (self.site_column is None) != (self.site_value is None):
            yield (
                "site_value",
                'site_column and site_value belong together; write site_value = "..."',
            )
        elif self.site_column is not None and self.source not in _FILES and not self.table:
            yield "site_column", "a query chooses its rows itself; write WHERE ... in it"
        elif self.site_column is not None and self.url is not None:
            yield "site_column", "a server's rows are chosen by a query; write sql_file = ..."


class UnitSection(Section):
    """What one variable is measured in here; see `fedcausal.data.units`.

    Known units convert by themselves (mmHg to kPa, lb to kg, °F to °C); mass to molar
    concentration needs `molar_mass`; for all others write the factor (and offset) yourself:
    study value = factor * value here + offset.
    """

    unit: str = Field(min_length=1, max_length=64)
    factor: float | None = Field(default=None)
    offset: float | None = Field(default=None)
    molar_mass: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _more_than_a_name(cls, content: object) -> object:
        if isinstance(content, str):
            raise refuse(f'expected the unit by its key; write {{ unit = "{content[:64]}" }}')
        return content

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.factor == 0:
            raise refuse("expected a number other than 0, got 0", key="factor")
        if self.offset is not None and self.factor is None:
            raise refuse("an offset needs its factor; write factor = 1.0", key="factor")
        if self.molar_mass is not None and self.factor is not None:
            raise refuse("the factor says it all; remove one of the two", key="molar_mass")
        return self

    def site_unit(self) -> SiteUnit:
        """The section as a plain value."""
        return SiteUnit(
            unit=self.unit, factor=self.factor, offset=self.offset, molar_mass=self.molar_mass
        )
