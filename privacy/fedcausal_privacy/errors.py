"""Errors that a caller can act on, each with the exit code of the command that meets it."""

from typing import ClassVar

__all__ = [
    "BudgetExceededError",
    "DeadlineError",
    "DisclosureError",
    "FedCausalError",
    "InputError",
    "LinkError",
    "ProtocolError",
    "StorageError",
    "UnsupportedEventError",
]


class FedCausalError(Exception):
    """Root of all errors that this project raises on purpose."""

    exit_code: ClassVar[int] = 1


class InputError(FedCausalError):
    """A user's mistake: the message names file:key or site:column and what to type."""

    exit_code: ClassVar[int] = 4


class LinkError(FedCausalError):
    """A party cannot be reached or cannot prove who it is."""

    exit_code: ClassVar[int] = 2


class DeadlineError(FedCausalError):
    """A wait ended without what it waited for; the message says what that was."""

    exit_code: ClassVar[int] = 3


class ProtocolError(FedCausalError):
    """A message does not fit the protocol; nothing was revealed."""


class StorageError(FedCausalError):
    """What must be on the disk cannot be written there; nothing goes on without it."""


class DisclosureError(FedCausalError):
    """A site's own policy refuses a release."""


class BudgetExceededError(FedCausalError):
    """A release would exceed the privacy budget; nothing was drawn or sent."""


class UnsupportedEventError(FedCausalError):
    """The accountant does not understand an event; an unknown event is never free."""
