"""A site's part in a study: from a message to the reply that may leave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fedcausal.data.kept_records import KeptRecords
from fedcausal.data.table import TableSource
from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal.model.calibration import kept_rows, rows_for
from fedcausal.refusals import RefusalCode
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.kind import PrivateKind, PublicKind, Request, StatisticKind
from fedcausal.statistics.records import (
    kept_records,
    pattern_list,
    takes_all,
    takes_complete,
    with_counts,
)
from fedcausal.study import Study
from fedcausal_clients.data.site_data import open_source, survey_patterns, survey_rows
from fedcausal_clients.data.survey import Survey
from fedcausal_clients.egress import (
    Asked,
    Permit,
    RefusalError,
    authorise,
    check_budget,
    check_rows,
    check_study,
    release,
)
from fedcausal_clients.home import Home
from fedcausal_clients.local_training import (
    WITH_WEIGHTS,
    Training,
    check_together,
    prepare_training,
    train,
)
from fedcausal_clients.policy.consent import note_request
from fedcausal_clients.policy.drawn_noise import forget_draws, note_draw, noted, times_drawn
from fedcausal_clients.policy.release_memory import site_secret
from fedcausal_clients.policy.roster_memory import known_rosters, remember_rosters
from fedcausal_clients.policy.rules import check_own_cells
from fedcausal_clients.replies import CLOSE, UPLOADS
from fedcausal_clients.run_state import RunState, load_run, request_digest, run_id_of, save_run
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.dp.events import Event
from fedcausal_privacy.dp.integer_noise import discrete_gaussian
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import site as secure_site
from fedcausal_privacy.secure_sum.headers import OWN_UPLOAD
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = ["answer", "simulated_generator"]

Contributions = Mapping[str, tuple[StatisticSpec, IntVector]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upload:
    """The vectors of one round, each with leave to go, and whether fresh noise is in one."""

    contributions: Contributions
    permits: Mapping[str, Permit] = field(default_factory=dict)
    draws_noise: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a vector belongs: the run, its round, and among how many sites noise is divided."""

    run_id: str
    round_number: int
    num_sites: int


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
    if message.kind == CLOSE:
        state = secure_site.learn(state, message, on_refusal=lambda reason: _note(home, reason))
        remember_rosters(home.store, run.run_id, state.released)
        closed = replace(
            run, secure_sum=secure_site.close(state).to_bytes(), reply=None, vectors={}
        )
        save_run(home.store, closed)
        forget_draws(home.store, run.run_id)
        return release(home.gate, Message(kind=message.kind, header={"name": home.name}))
    study = _study(run.study_toml)
    if message.kind == "query.hello" and study.hash() not in home.gate.approved:
        note_request(home.store, home.gate.audit, study, run.study_toml, run.run_id)
    check_study(home.gate, study)
    if message.kind == "query.hello":
        check_budget(home.gate, study, run.run_id)
        _check_data(home, study)
    state = replace(state, known=known_rosters(home.store, run.run_id))
    upload = _upload(home, study, run, state, message) if message.kind in UPLOADS else None
    if upload is not None and upload.draws_noise:
        # Noise is at rest before it can leave: a crash from here on sends the same vectors.
        run = _with_vectors(run, upload, message)
        save_run(home.store, run)
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
        mode=study.privacy.mode,
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
    seen = survey_rows(source, home.config, study)
    check_rows(home.gate, study, seen.num_rows)


def _upload(
    home: Home, study: Study, run: RunState, state: secure_site.SiteState, message: Message
) -> _Upload:
    """Compute what the round asks for, in this order: check, remember, charge, compute.

    Every signature, request and roster of the message is checked before the gate charges any, and
    the gate passes all before one is computed. The gate's memory of releases is written before
    the charge, that of rosters (`roster_memory`) before the reply leaves. In a later
    attempt of the round the vectors are the ones that were uploaded before: they are charged
    again, and no noise is drawn again. Noise that was drawn before a crash and is in no vector at
    rest is charged again, and drawn again.
    """
    if state.manifest is None:
        raise ProtocolError("an upload was asked for before the roster was agreed")
    is_alone = message.kind == OWN_UPLOAD
    if is_alone != bool(study.federation.robust):
        raise ProtocolError("the study's sums are released in another way than was asked for")
    requests, sites = _requests(message), state.manifest.sites
    check_together(requests)
    trained = {r.id(): prepare_training(study, r, message.blobs) for r in requests if _trains(r)}
    asked = [_asked(study, r, len(sites), trained.get(r.id())) for r in requests]
    specs = {one.spec.name: one.spec for one in asked}
    secure_site.ready(state, message, specs, on_refusal=lambda reason: _note(home, reason))
    rows = open_source(home.config, study, home.folder)
    place = _Place(run_id=run.run_id, round_number=_round(message), num_sites=len(sites))
    before = run.vectors if run.round_number == place.round_number else {}
    drawn = times_drawn(home.store, place.run_id, place.round_number)
    secret = None if all(one.is_noised for one in asked) else site_secret(home.store)
    permits = authorise(
        home.gate,
        study,
        asked,
        survey=_surveyed(home, study, asked, _records_of(study, asked, rows), secret),
        roster=secure_site.asked_sites(state, message),
        run_id=place.run_id,
        round_number=place.round_number,
        attempt=state.attempt,
        lost_draws={name: times for name, times in drawn.items() if name not in before},
    )
    vectors = {
        one.spec.name: before[one.spec.name]
        if one.spec.name in before
        else _vector(home, study, one, rows, trained.get(one.request.id()), place)
        for one in asked
    }
    for one in asked if is_alone else ():
        check_own_cells(study, one, vectors[one.spec.name])
    return _Upload(
        contributions={one.spec.name: (one.spec, vectors[one.spec.name]) for one in asked},
        permits=permits,
        draws_noise=any(one.is_noised and one.spec.name not in before for one in asked),
    )


def _records_of(study: Study, asked: Sequence[Asked], source: TableSource) -> TableSource:
    """The records that a round is about: all of them, or those of the listed patterns.

    The requests of a round are about the same records, so that the rules look at these; what is
    asked of held-out records is about complete ones alone.
    """
    kept = kept_rows(study, source)
    fits = [a for a in asked if not takes_complete(a.kind)] or list(asked)
    rules = {None if takes_all(study, a.kind) else pattern_list(study, a.request) for a in fits}
    if len(rules) > 1:
        raise ProtocolError("a round asks for sums over different records")
    if rules == {None}:
        return kept
    return kept_records(study, fits[0].request, kept)


def _surveyed(
    home: Home, study: Study, asked: Sequence[Asked], source: TableSource, secret: bytes | None
) -> Survey:
    """One look at the rows; where patterns are counted, at what is missing instead of at values.

    The rows that later sums are about are other ones, if some lack rare values: the gate must not
    take the two for a change of the data.
    """
    seen = survey_rows(source, home.config, study, secret)
    if secret is None or not any(getattr(a.kind, "counts_patterns", False) for a in asked):
        return seen
    return survey_patterns(source, home.config, secret)


def _trains(request: Request) -> bool:
    return request.kind in WITH_WEIGHTS


def _asked(study: Study, request: Request, num_sites: int, training: Training | None) -> Asked:
    """What is public about a request: its kind, its shape and the noise that it will get."""
    kind = kind_of(request)
    return Asked(
        request=request,
        kind=kind,
        spec=derive_spec(study, request, num_sites),
        event=_event(kind, study, request) if training is None else training.event,
    )


def _vector(
    home: Home,
    study: Study,
    asked: Asked,
    rows: TableSource,
    training: Training | None,
    place: _Place,
) -> IntVector:
    rng, name = _generator(home, asked.request), asked.spec.name
    source = rows_for(study, asked.request, rows)
    if not takes_all(study, asked.kind):
        source = kept_records(study, asked.request, source)
    if training is not None:
        if asked.is_noised:
            note_draw(home.store, place.run_id, place.round_number, name)
        update = train(
            study,
            asked.request,
            source,
            rng,
            training,
            num_sites=place.num_sites,
            noise=discrete_gaussian,
            bootstrap=_bootstrap(home, study),
        )
        return _vouched(study, asked, update, source)
    if isinstance(asked.kind, PrivateKind):
        noise = noted(home.store, place.run_id, place.round_number, name, discrete_gaussian)
        vector = asked.kind.compute_private(
            study, asked.request, source, num_sites=place.num_sites, noise=noise
        )
        return np.clip(vector, -asked.spec.bound, asked.spec.bound)
    if not isinstance(asked.kind, StatisticKind):
        raise ProtocolError(f"statistic {asked.request.kind!r} is not computed in one pass")
    return _vouched(study, asked, asked.kind.compute(study, asked.request, source, rng), source)


def _vouched(study: Study, asked: Asked, vector: IntVector, source: TableSource) -> IntVector:
    """The vector with the counts of the patterns that it is about."""
    if not isinstance(source, KeptRecords):
        return vector
    return with_counts(vector, study, asked.request, source)


def _event(kind: PublicKind, study: Study, request: Request) -> Event | None:
    """What a private kind will draw; a study without an epsilon for it is a `ProtocolError`."""
    return kind.event(study, request) if isinstance(kind, PrivateKind) else None


def _requests(message: Message) -> tuple[Request, ...]:
    listed = message.header.get("requests")
    if not isinstance(listed, list) or not listed:
        raise ProtocolError("an upload was asked for without saying of what")
    requests = tuple(Request.from_json(value) for value in listed)
    ids = [request.id() for request in requests]
    if sorted(ids) != sorted(secure_site.requested(message)):
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


def _bootstrap(home: Home, study: Study) -> np.random.Generator:
    """What a row counts in each member of an ensemble: secret, and the same in every round."""
    simulation = home.config.simulation
    if simulation is not None:
        return simulated_generator(simulation.seed, home.name, Request(kind="bootstrap"))
    secret = site_secret(home.store) + study.hash().encode()
    return np.random.default_rng(int(sha256_hex(secret), 16))


def simulated_generator(seed: int, site: str, request: Request) -> np.random.Generator:
    """The generator of a simulated site for one request: the same for the same three."""
    stream = int(sha256_hex(f"{site}|{request.id()}".encode()), 16)
    return np.random.default_rng([seed, stream])


def _note(home: Home, reason: str) -> None:
    home.gate.audit.note("protocol", reason)
