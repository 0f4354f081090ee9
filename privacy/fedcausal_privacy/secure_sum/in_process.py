"""All roles of the protocol in one process: every message, signature and cipher, no network."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedcausal_privacy.identity import Identity
from fedcausal_privacy.manifest import MIN_SITES
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, headers, site, steward
from fedcausal_privacy.secure_sum.headers import UploadKind
from fedcausal_privacy.secure_sum.site import Contributions
from fedcausal_privacy.secure_sum.states import AggregatorState, SiteState, StewardState
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["SecureSum", "sum_securely"]

_NO_STUDY = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSum:
    """One run with all its parties, ready to add vectors.

    Privacy: one process holds all keys here, so this hides nothing from its owner; it is the
    protocol of a deployment, for simulations and tests.
    """

    identities: Mapping[str, Identity]
    sites: Mapping[str, SiteState]
    steward_identity: Identity
    steward: StewardState
    aggregator: AggregatorState

    @classmethod
    def open(
        cls,
        sites: Sequence[str],
        *,
        run_id: str | None = None,
        study_hash: str = _NO_STUDY,
        k_min: int = MIN_SITES,
    ) -> "SecureSum":
        """Generate identities, exchange keys and freeze the roster."""
        pool = cls(
            identities={name: Identity.generate() for name in sites},
            sites={name: site.begin(name=name, study_hash=study_hash) for name in sites},
            steward_identity=Identity.generate(),
            steward=steward.begin(name="steward"),
            aggregator=aggregator.begin(
                run_id=run_id or secrets.token_hex(16), study_hash=study_hash, k_min=k_min
            ),
        )
        return pool._agree()

    def sum(
        self,
        contributions: Mapping[str, Contributions],
        *,
        round: int,
        kind: UploadKind = headers.UPLOAD,
    ) -> tuple["SecureSum", dict[str, Released]]:
        """Add the sites' vectors: site name to (statistic name to (spec, vector))."""
        specs = [spec for spec, _ in next(iter(contributions.values())).values()]
        request = aggregator.upload(self.aggregator, round=round, specs=specs, kind=kind)
        pool, replies = self.ask(request, contributions)
        decrypt = aggregator.combine(
            pool.aggregator, round=round, specs=specs, replies=replies, kind=kind
        )
        state, reply = steward.step(pool.steward, decrypt, identity=pool.steward_identity)
        totals = aggregator.released(pool.aggregator, round=round, specs=specs, reply=reply)
        return replace(pool, steward=state), totals

    def ask(
        self, message: Message, contributions: Mapping[str, Contributions] | None = None
    ) -> tuple["SecureSum", list[Message]]:
        """Send one message to every site (or to those that contribute); collect the replies."""
        states, replies = dict(self.sites), []
        for name in contributions or self.sites:
            states[name], reply = site.step(
                self.sites[name],
                message,
                identity=self.identities[name],
                contributions=None if contributions is None else contributions[name],
            )
            replies.append(reply)
        return replace(self, sites=states), replies

    def _agree(self) -> "SecureSum":
        greeting = aggregator.hello(self.aggregator)
        steward_state, introduction = steward.step(
            self.steward, greeting, identity=self.steward_identity
        )
        pool, replies = replace(self, steward=steward_state).ask(greeting)
        state, message = aggregator.advertise(pool.aggregator, sites=replies, steward=introduction)
        pool, replies = replace(pool, aggregator=state).ask(message)
        state, message = aggregator.freeze(state, replies)
        pool, replies = pool.ask(message)
        return replace(pool, aggregator=aggregator.confirm(state, replies))


def sum_securely(vectors_by_site: Mapping[str, IntVector], spec: StatisticSpec) -> Released:
    """Run the whole protocol once for one statistic.

    Equals `plain_sum` of the same vectors; that is the protocol's law.
    """
    pool = SecureSum.open(tuple(vectors_by_site))
    contributions = {name: {spec.name: (spec, v)} for name, v in vectors_by_site.items()}
    _, totals = pool.sum(contributions, round=1)
    return totals[spec.name]
