"""The Flower ClientApp of a site or a steward: decode, one step, encode."""

import json
import logging
from pathlib import Path

from flwr.app import Context
from flwr.app import Message as FlowerMessage
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from fedcausal.errors import InputError
from fedcausal.refusals import RefusalCode
from fedcausal_clients.codec import decode, encode
from fedcausal_clients.egress import refusal_message
from fedcausal_clients.node import handle
from fedcausal_clients.site_config import SiteConfig

__all__ = ["app"]

UNNAMED = "unnamed"


def safe_errors(
    message: FlowerMessage, context: Context, call_next: ClientAppCallable
) -> FlowerMessage:
    """Keep the text of an exception at the site: Flower would send it to the coordinator.

    `handle` refuses by itself. What reaches this place failed outside it (no home folder, a full
    disk, an unreadable record), and is answered with a constant that holds no information.
    """
    try:
        return call_next(message, context)
    except Exception:
        logging.getLogger(__name__).exception("a message could not be answered")
        kind = message.metadata.message_type
        refusal = refusal_message(UNNAMED, kind, RefusalCode.SITE_ERROR)
        return FlowerMessage(encode(refusal), reply_to=message)


app = ClientApp(mods=[safe_errors])


@app.query("hello")
def hello(message: FlowerMessage, context: Context) -> FlowerMessage:
    """Who is there, under which key, and whether study and data are acceptable."""
    return answer(message, context)


@app.query("advertise")
def advertise(message: FlowerMessage, context: Context) -> FlowerMessage:
    """A signed one-time key for this run's masks."""
    return answer(message, context)


@app.query("freeze")
def freeze(message: FlowerMessage, context: Context) -> FlowerMessage:
    """A signature of the roster: from here on everybody counts on everybody."""
    return answer(message, context)


@app.query("upload")
def upload(message: FlowerMessage, context: Context) -> FlowerMessage:
    """Masked and encrypted statistics."""
    return answer(message, context)


@app.query("own_upload")
def own_upload(message: FlowerMessage, context: Context) -> FlowerMessage:
    """The site's own statistics, open and signed, where study and policy say so."""
    return answer(message, context)


@app.query("collect")
def collect(message: FlowerMessage, context: Context) -> FlowerMessage:
    """Some sites' ciphertexts, added at the steward."""
    return answer(message, context)


@app.query("void")
def void(message: FlowerMessage, context: Context) -> FlowerMessage:
    """The steward's word that an attempt will never be decrypted."""
    return answer(message, context)


@app.query("pads")
def pads(message: FlowerMessage, context: Context) -> FlowerMessage:
    """The encrypted sum of one roster's pads, at the second steward."""
    return answer(message, context)


@app.query("decrypt")
def decrypt(message: FlowerMessage, context: Context) -> FlowerMessage:
    """The total of a blind sum, at the steward."""
    return answer(message, context)


@app.query("close")
def close(message: FlowerMessage, context: Context) -> FlowerMessage:
    """The run is over: forget its keys."""
    return answer(message, context)


@app.train("upload")
def train_upload(message: FlowerMessage, context: Context) -> FlowerMessage:
    """A masked and encrypted model update."""
    return answer(message, context)


def answer(message: FlowerMessage, context: Context) -> FlowerMessage:
    """Decode a message, take the step of this node's role, encode the reply."""
    request = decode(message.content)
    if request.kind != message.metadata.message_type:
        raise InputError("a message's type is not the one that it travels under")
    reply = handle(request, home_of(context))
    return FlowerMessage(encode(reply), reply_to=message)


def home_of(context: Context) -> Path:
    """The node's home folder: `home` of its node config, else its entry in the workspace.

    A deployment passes `--node-config 'home="/srv/fedcausal"'`. A simulation has a workspace whose
    `nodes.json` lists the homes by partition.

    Privacy: the coordinator names the workspace, so that it can only lead to simulated homes.
    """
    home = context.node_config.get("home")
    if home is not None:
        return Path(str(home))
    workspace = Path(str(context.run_config["workspace"]))
    nodes = json.loads((workspace / "nodes.json").read_text(encoding="utf-8"))
    found = workspace / str(nodes[int(context.node_config["partition-id"])]["home"])
    if SiteConfig.load(found).simulation is None:
        raise InputError("a site that is not simulated needs its home in the node's own config")
    return found
