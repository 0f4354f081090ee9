"""A site's part in a study: from a message to the reply that may leave."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal.refusals import RefusalCode
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.kind import PrivateKind, PublicKind, Request, StatisticKind
from fedcausal.study import Study
from fedcausal.table import TableSource
from fedcausal_clients.egress import (
    Permit,
    RefusalError,
    authorise,
    check_rows,
    check_study,
    release,
)
from fedcausal_clients.home import Home
from fedcausal_clients.local_training import UPDATE, prepare_training, train
from fedcausal_clients.roster_memory import known_rosters, remember_rosters
from fedcausal_clients.run_state import RunState, load_run, request_digest, run_id_of, save_run
from fedcausal_clients.site_data import count_rows, open_source
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.events import Event
from fedcausal_privacy.integer_noise import discrete_gaussian
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import site as secure_site
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = ["answer", "simulated_generator"]

UPLOADS = ("query.upload", "train.upload")
Contributions = Mapping[str, tuple[StatisticSpec, IntVector]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upload:
    """The vectors of one round, each with leave to go."""

    contributions: Contributions
    permits: Mapping[str, Permit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One statistic that a round asks for."""

    request: Request
    spec: StatisticSpec
    message: Message
    num_sites: int
    num_rows: int
    attempt: int = 1
    before: IntVector | None = None


def answer(home: Home, message: Message) -> Message:
    """One step of the site: hello, advertise, freeze, upload or close.

    Privacy: the result of `egress.release` is the only thing this returns. The new state and the
    reply are on disk before it returns; the same message again gets the same bytes again.
    """
    run = load_run(home.store, run_id_of(message)) or _joined(home, message)
    before = run.answered(message)
    if before is not None:
        return release(home.gate, before, permits=run.permits)
    state = secure_site.SiteState.from_bytes(run.secure_sum)
    if message.kind == "query.close":
        state = secure_site.learn(state, message)
        remember_rosters(home.store, run.run_id, state.released)
        closed = replace(
            run, secure_sum=secure_site.close(state).to_bytes(), reply=None, vectors={}
        )
        save_run(home.store, closed)
        return release(home.gate, Message(kind=message.kind, header={"name": home.name}))
    study = _study(run.study_toml)
    check_study(home.gate, study)
    if message.kind == "query.hello":
        _check_data(home, study)
    state = replace(state, known=known_rosters(home.store, run.run_id))
    upload = _upload(home, study, run, state, message) if message.kind in UPLOADS else None
    state, reply = secure_site.step(
        state,
        message,
        identity=home.identity,
        contributions=None if upload is None else upload.contributions,
        on_refusal=lambda reason: _note(home, reason),
    )
    permits = {} if upload is None else upload.permits
    reply = release(home.gate, reply, permits=permits)
    remember_rosters(home.store, run.run_id, state.released)
    request = request_digest(message)
    kept = replace(run, secure_sum=state.to_bytes(), request=request, reply=reply, permits=permits)
    save_run(home.store, kept if upload is None else _with_vectors(kept, upload, message))
    return reply


def _with_vectors(run: RunState, upload: "_Upload", message: Message) -> RunState:
    """Keep what was uploaded until the next round: a later attempt sends the same again."""
    vectors = {name: vector for name, (_, vector) in upload.contributions.items()}
    return replace(run, round_number=_round(message), vectors=vectors)


def _joined(home: Home, message: Message) -> RunState:
    """A run that the site hears of for the first time: only a greeting with the study opens it."""
    text = message.header.get("study")
    if message.kind != "query.hello" or not isinstance(text, str):
        raise ProtocolError("a run begins with a greeting that carries the study")
    study = _study(text)
    state = secure_site.begin(
        name=home.name,
        study_hash=study.hash(),
        min_sites=study.privacy.min_sites,
        trusted=home.trusted,
        data_version="" if home.config.data is None else home.config.data.version,
    )
    return RunState(run_id=run_id_of(message), study_toml=text, secure_sum=state.to_bytes())


def _study(text: str) -> Study:
    try:
        return Study.model_validate(Study.parse(text))
    except FedCausalError as error:
        raise RefusalError(RefusalCode.STUDY_UNREADABLE, reason=str(error)) from None


def _check_data(home: Home, study: Study) -> None:
    source = open_source(home.config, study, home.folder)
    check_rows(home.gate, study, count_rows(source, home.config, study))


def _upload(
    home: Home, study: Study, run: RunState, state: secure_site.SiteState, message: Message
) -> _Upload:
    """Compute what the round asks for; every statistic passes the gate before it is computed.

    In a later attempt of the round the vectors are the ones that were uploaded before.
    """
    if state.manifest is None:
        raise ProtocolError("an upload was asked for before the roster was agreed")
    requests = _requests(message)
    if len(requests) > 1 and any(request.kind == UPDATE for request in requests):
        raise ProtocolError("a round of training holds one request")
    source = open_source(home.config, study, home.folder)
    num_rows = count_rows(source, home.config, study)
    num_sites = len(state.manifest.roster)
    before = run.vectors if run.round_number == _round(message) else {}
    contributions, permits = {}, {}
    for request in requests:
        spec = derive_spec(study, request, num_sites)
        asked = _Asked(
            request=request,
            spec=spec,
            message=message,
            num_sites=num_sites,
            num_rows=num_rows,
            attempt=state.attempt,
            before=before.get(spec.name),
        )
        permits[spec.name], vector = _statistic(home, study, asked, source)
        contributions[spec.name] = (spec, vector)
    return _Upload(contributions=contributions, permits=permits)


def _statistic(
    home: Home, study: Study, asked: _Asked, source: TableSource
) -> tuple[Permit, IntVector]:
    request, message = asked.request, asked.message
    kind = kind_of(request)
    training = prepare_training(study, request, message.blobs) if request.kind == UPDATE else None
    permit = authorise(
        home.gate,
        study,
        request,
        kind,
        num_rows=asked.num_rows,
        length=asked.spec.length,
        event=_event(kind, study, request) if training is None else training.event,
        run_id=run_id_of(message),
        round_number=_round(message),
        attempt=asked.attempt,
    )
    if asked.before is not None:
        return permit, asked.before
    rng = _generator(home, request)
    if training is not None:
        return permit, train(study, request, source, rng, training, num_sites=asked.num_sites)
    if isinstance(kind, PrivateKind):
        vector = kind.compute_private(
            study, request, source, num_sites=asked.num_sites, noise=discrete_gaussian
        )
        return permit, np.clip(vector, -asked.spec.bound, asked.spec.bound)
    if not isinstance(kind, StatisticKind):
        raise ProtocolError(f"statistic {request.kind!r} is not computed in one pass")
    return permit, kind.compute(study, request, source, rng)


def _event(kind: PublicKind, study: Study, request: Request) -> Event | None:
    """What a private kind will draw; a study without an epsilon for it is a `ProtocolError`."""
    return kind.event(study, request) if isinstance(kind, PrivateKind) else None


def _requests(message: Message) -> tuple[Request, ...]:
    listed = message.header.get("requests")
    if not isinstance(listed, list) or not listed:
        raise ProtocolError("an upload was asked for without saying of what")
    requests = tuple(Request.from_json(value) for value in listed)
    if {request.id() for request in requests} != set(secure_site.requested(message)):
        raise ProtocolError("an upload's requests are not the statistics that it names")
    return requests


def _round(message: Message) -> int:
    number = message.header.get("round")
    if not isinstance(number, int) or isinstance(number, bool):
        raise ProtocolError("an upload was asked for without the number of its round")
    return number


def _generator(home: Home, request: Request) -> np.random.Generator:
    """Local resampling: from the system's randomness, in a simulation from seed and name."""
    simulation = home.config.simulation
    if simulation is None:
        return np.random.default_rng()
    return simulated_generator(simulation.seed, home.name, request)


def simulated_generator(seed: int, site: str, request: Request) -> np.random.Generator:
    """The generator of a simulated site for one request: the same for the same three."""
    stream = int(sha256_hex(f"{site}|{request.id()}".encode()), 16)
    return np.random.default_rng([seed, stream])


def _note(home: Home, reason: str) -> None:
    home.gate.audit.append("protocol", {"reason": reason})
