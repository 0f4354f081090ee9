"""A node of a study: open the home folder, take the role's step, or refuse by code."""

from pathlib import Path

from fedcausal.errors import FedCausalError
from fedcausal.refusals import RefusalCode
from fedcausal_clients import site_node, steward_node
from fedcausal_clients.egress import RefusalError, refuse
from fedcausal_clients.home import Home, note_error, open_home
from fedcausal_privacy.messages import Message

__all__ = ["handle"]


def handle(message: Message, folder: Path) -> Message:
    """Answer one message in the name of the role that lives in `folder`.

    Whatever goes wrong inside becomes a refusal with a code of `RefusalCode`; the words stay in
    the role's own audit log (foreseen) or error log (unforeseen).
    """
    with open_home(folder) as home:
        try:
            return _answer(home, message)
        except RefusalError as refusal:
            return refuse(home.gate, message.kind, refusal)
        except FedCausalError as error:
            reason = f"{type(error).__name__}: {error}"
            return refuse(
                home.gate, message.kind, RefusalError(RefusalCode.PROTOCOL, reason=reason)
            )
        except Exception as error:
            note_error(folder, error)
            reason = type(error).__name__
            return refuse(
                home.gate, message.kind, RefusalError(RefusalCode.SITE_ERROR, reason=reason)
            )


def _answer(home: Home, message: Message) -> Message:
    if home.config.site.role != "site":
        return steward_node.answer(home, message)
    return site_node.answer(home, message)
