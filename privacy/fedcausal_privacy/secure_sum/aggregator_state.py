"""What the aggregator remembers of one run: public values and ciphertexts, never a key."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.envelopes import Envelope
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message, pack, unpack
from fedcausal_privacy.secure_sum import parsing
from fedcausal_privacy.secure_sum.headers import FIRST_ATTEMPT, UPLOAD_KINDS, UploadKind
from fedcausal_privacy.secure_sum.manifest import MODES, Manifest, Mode
from fedcausal_privacy.secure_sum.pending import PendingSum
from fedcausal_privacy.secure_sum.roster import Roster
from fedcausal_privacy.statistic_spec import Released, StatisticSpec

_Value = TypeVar("_Value")

__all__ = ["AggregatorState", "Dropout", "Phase", "Post", "Question"]

Phase = Literal["hello", "advertise", "freeze", "ready", "upload", "pads", "decrypt", "void"]
_PHASES: dict[JsonValue, Phase] = {phase: phase for phase in get_args(Phase)}
_KINDS: dict[JsonValue, UploadKind] = {kind: kind for kind in UPLOAD_KINDS}
_MODES: dict[JsonValue, Mode] = {mode: mode for mode in MODES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message to one party by name."""

    recipient: str
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """A site that was waited for in vain: at which message, in which round and attempt."""

    site: str
    kind: str
    round: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one round asks for; `header` and `blobs` go along to the sites as they are."""

    specs: tuple[StatisticSpec, ...]
    kind: UploadKind
    header: Mapping[str, JsonValue] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorState:
    """One run, from the greeting to the last total.

    Attributes
    ----------
    sites
        Who was invited; `members` are those that take part at present.
    phase, waiting
        What is going on, and whose answer is awaited.
    answers
        Signed answers of the phase, by party.
    advertisements, roster, freezes
        Masked mode: the sites' signed keys of the attempt, the roster made of them, and every
        site's signature of it.
    batch, outstanding
        Verified uploads that were not passed on yet; numbers of batches that were, and that the
        steward has not confirmed.
    seeds
        Two-steward mode: each site's sealed seeds, packed.
    summed, totals
        The last answered question: over which sites, and its totals.
    dropouts
        Every wait that ended in vain.
    """

    run_id: str
    study_hash: str
    k_min: int
    quorum: int
    mode: Mode
    sites: tuple[str, ...]
    steward: str
    second_steward: str = ""
    phase: Phase = "hello"
    waiting: tuple[str, ...] = ()
    answers: Mapping[str, Message] = field(default_factory=dict)
    manifest: Manifest | None = None
    public_context: bytes = b""
    introductions: Mapping[str, JsonValue] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    attempt: int = FIRST_ATTEMPT
    void: Envelope | None = None
    advertisements: tuple[Envelope, ...] = ()
    roster: Roster | None = None
    freezes: tuple[Envelope, ...] = ()
    round: int = 0
    question: Question | None = None
    pending: PendingSum | None = None
    batch: tuple[Message, ...] = ()
    num_batches: int = 0
    outstanding: tuple[int, ...] = ()
    seeds: Mapping[str, Message] = field(default_factory=dict)
    released: tuple[tuple[str, ...], ...] = ()
    released_envelope: JsonValue = None
    summed: tuple[str, ...] = ()
    totals: Mapping[str, Released] = field(default_factory=dict)
    dropouts: tuple[Dropout, ...] = ()

    @property
    def agreed_manifest(self) -> Manifest:
        """`manifest`, which must be there by now."""
        if self.manifest is None:
            raise ProtocolError("a step came before the manifest")
        return self.manifest

    @property
    def agreed_roster(self) -> Roster:
        """`roster`, which must be there by now."""
        if self.roster is None:
            raise ProtocolError("a step came before the roster")
        return self.roster

    @property
    def open_question(self) -> Question:
        """`question`, which must be there by now."""
        if self.question is None:
            raise ProtocolError("no question is open")
        return self.question

    @property
    def open_sum(self) -> PendingSum:
        """`pending`, which must be there by now."""
        if self.pending is None:
            raise ProtocolError("no question is open")
        return self.pending

    def answered(self, sender: str, reply: Message) -> "AggregatorState":
        """The state with one awaited answer kept."""
        waiting = tuple(name for name in self.waiting if name != sender)
        return replace(self, waiting=waiting, answers={**self.answers, sender: reply})

    def to_bytes(self) -> bytes:
        """The state as bytes."""
        header: dict[str, JsonValue] = {
            **{name: getattr(self, name) for name in _TEXTS + _INTEGERS},
            **{name: list(getattr(self, name)) for name in _NAMES},
            "manifest": None if self.manifest is None else self.manifest.to_json(),
            "introductions": dict(self.introductions),
            "void": None if self.void is None else self.void.to_json(),
            "roster": None if self.roster is None else self.roster.to_json(),
            "advertisements": [envelope.to_json() for envelope in self.advertisements],
            "freezes": [envelope.to_json() for envelope in self.freezes],
            "question": None if self.question is None else _question_json(self.question),
            "pending": None if self.pending is None else self.pending.to_json(),
            "outstanding": list(self.outstanding),
            "released": [list(sites) for sites in self.released],
            "released_envelope": self.released_envelope,
            "totals": {name: _total_json(total) for name, total in self.totals.items()},
            "dropouts": [[d.site, d.kind, d.round, d.attempt] for d in self.dropouts],
            "batch_size": len(self.batch),
        }
        blobs = {
            "public_context": self.public_context,
            **{f"answers/{name}": pack(answer) for name, answer in self.answers.items()},
            **{f"batch/{i}": pack(reply) for i, reply in enumerate(self.batch)},
            **{f"seeds/{name}": pack(seed) for name, seed in self.seeds.items()},
            **({} if self.question is None else _prefixed("question", self.question.blobs)),
        }
        blobs = dict(sorted(blobs.items()))
        sizes: dict[str, JsonValue] = {name: len(blob) for name, blob in blobs.items()}
        head = canonical_json({"header": header, "sizes": sizes})
        return b"".join([len(head).to_bytes(8, "big"), head, *blobs.values()])

    @classmethod
    def from_bytes(cls, content: bytes) -> "AggregatorState":
        """Rebuild a state from `to_bytes`; anything else is a `ProtocolError`."""
        try:
            return cls(**_fields(*_split(content)))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ProtocolError("a stored state cannot be read") from None


_TEXTS = ("run_id", "study_hash", "mode", "steward", "second_steward", "phase")
_INTEGERS = ("k_min", "quorum", "attempt", "round", "num_batches")
_NAMES = ("sites", "waiting", "members", "summed")


def _split(content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    start = 8 + int.from_bytes(content[:8], "big")
    head = parsing.json_object(content[8:start])
    sizes, blobs = parsing.mapping(head, "sizes"), {}
    for name in sizes:
        size = parsing.integer(sizes, name)
        blobs[name] = content[start : start + size]
        start += size
    if start != len(content):
        raise ProtocolError("a stored state has the wrong length")
    return dict(parsing.mapping(head, "header")), blobs


def _fields(header: dict[str, Any], blobs: dict[str, bytes]) -> dict[str, Any]:
    def optional(name: str, read: Callable[[JsonValue], _Value]) -> _Value | None:
        return None if header[name] is None else read(header[name])

    question = header["question"]
    return {
        **{name: parsing.text(header, name) for name in _TEXTS},
        **{name: parsing.integer(header, name) for name in _INTEGERS},
        **{name: tuple(parsing.strings(header, name)) for name in _NAMES},
        "mode": _MODES[header["mode"]],
        "phase": _PHASES[header["phase"]],
        "manifest": optional("manifest", Manifest.from_json),
        "public_context": blobs["public_context"],
        "introductions": parsing.mapping(header, "introductions"),
        "void": optional("void", Envelope.from_json),
        "roster": optional("roster", Roster.from_json),
        "advertisements": parsing.envelopes(header, "advertisements"),
        "freezes": parsing.envelopes(header, "freezes"),
        "question": None if question is None else _question(question, blobs),
        "pending": optional("pending", PendingSum.from_json),
        "outstanding": tuple(header["outstanding"]),
        "released": tuple(tuple(sites) for sites in header["released"]),
        "released_envelope": header["released_envelope"],
        "totals": {n: _total(t) for n, t in parsing.mapping(header, "totals").items()},
        "dropouts": tuple(
            Dropout(site=s, kind=k, round=r, attempt=a) for s, k, r, a in header["dropouts"]
        ),
        "answers": {n: unpack(b) for n, b in _unprefixed("answers", blobs).items()},
        "batch": tuple(
            unpack(blobs[f"batch/{i}"]) for i in range(parsing.integer(header, "batch_size"))
        ),
        "seeds": {n: unpack(b) for n, b in _unprefixed("seeds", blobs).items()},
    }


def _prefixed(prefix: str, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{prefix}/{name}": blob for name, blob in blobs.items()}


def _unprefixed(prefix: str, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    start = f"{prefix}/"
    return {n.removeprefix(start): b for n, b in blobs.items() if n.startswith(start)}


def _question_json(question: Question) -> JsonValue:
    return {
        "specs": [spec.to_json() for spec in question.specs],
        "kind": question.kind,
        "header": dict(question.header),
    }


def _question(value: JsonValue, blobs: Mapping[str, bytes]) -> Question:
    entries = parsing.mapping({"question": value}, "question")
    return Question(
        specs=tuple(StatisticSpec.from_json(s) for s in parsing.objects(entries, "specs")),
        kind=_KINDS[entries["kind"]],
        header=parsing.mapping(entries, "header"),
        blobs=_unprefixed("question", blobs),
    )


def _total_json(total: Released) -> JsonValue:
    return [
        base64.b64encode(total.totals.astype("<i8").tobytes()).decode(),
        base64.b64encode(total.withheld.astype("u1").tobytes()).decode(),
    ]


def _total(value: Any) -> Released:
    totals, withheld = (base64.b64decode(text) for text in value)
    return Released(
        totals=np.frombuffer(totals, dtype="<i8").astype(np.int64),
        withheld=np.frombuffer(withheld, dtype=np.uint8) != 0,
    )
