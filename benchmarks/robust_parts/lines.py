"""A figure beside its reach, one a line."""

import sys

__all__ = ["Lines"]


class Lines:
    """Prints rows of a name, a figure, its reach and a verdict; `holds` until one falls short."""

    def __init__(self) -> None:
        self.holds = True

    def row(self, name: str, figure: str, reach: str = "", holds: bool | None = None) -> None:
        """Print one line; a `holds` of None has no reach to keep."""
        verdict = "" if holds is None else "holds" if holds else "FALLS SHORT"
        self.holds = self.holds and holds is not False
        sys.stdout.write(f"{name:<44} {figure:>38}   {reach:<26} {verdict}".rstrip() + "\n")
        sys.stdout.flush()
