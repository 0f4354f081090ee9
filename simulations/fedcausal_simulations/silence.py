"""Simulated dropouts: which site answers nothing, from which message on, and until when."""

from dataclasses import dataclass

__all__ = ["Silence", "Silences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A dropout to simulate: a site answers `after` messages of a kind, and then nothing more.

    With `returns_after` it answers again after it left so many messages unanswered.
    """

    site: str
    kind: str
    after: int = 0
    returns_after: int | None = None


class Silences:
    """Counts what a site that drops out hears, and says whether it answers."""

    def __init__(self, silence: Silence) -> None:
        self._silence, self._heard, self._unanswered = silence, 0, 0

    def swallows(self, kind: str) -> bool:
        """Whether a message of this kind, which the site receives now, stays unanswered."""
        is_kind = kind == self._silence.kind
        self._heard += is_kind
        if self._heard <= self._silence.after or not self._heard:
            return False
        self._unanswered += 1
        returns = self._silence.returns_after
        return returns is None or self._unanswered <= returns
