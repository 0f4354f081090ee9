"""What every section of a site file has in common."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from fedcausal.study_file.errors import explain

__all__ = ["SITE_FILE", "Section"]

SITE_FILE = "site.toml"


class Section(BaseModel):
    """A frozen section that knows its keys and takes no others: every key is enforced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def check(cls, content: Mapping[str, object], *, source: str = SITE_FILE) -> Self:
        """The section from a mapping with its keys; `source` names it in errors."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise explain(error, cls, source) from None
