"""All roles of the protocol in one process: every message, signature and cipher, no network."""

import secrets
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, headers, second_steward, site, steward
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState, Post
from fedcausal_privacy.secure_sum.headers import UploadKind
from fedcausal_privacy.secure_sum.manifest import MIN_SITES, Mode
from fedcausal_privacy.secure_sum.site import Contributions
from fedcausal_privacy.secure_sum.states import SecondStewardState, SiteState, StewardState
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["SECOND_STEWARD", "STEWARD", "SecureSum", "sum_securely"]

STEWARD = "steward"
SECOND_STEWARD = "second-steward"
_NO_STUDY = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSum:
    """One run with all its parties, ready to add vectors.

    `identities` are those of all parties by name.

    Privacy: one process holds all keys here, so this hides nothing from its owner; it is the
    protocol of a deployment, for simulations and tests.
    """

    identities: Mapping[str, Identity]
    sites: Mapping[str, SiteState]
    steward: StewardState
    second_steward: SecondStewardState
    aggregator: AggregatorState

    @classmethod
    def begin(
        cls,
        sites: Sequence[str],
        *,
        run_id: str | None = None,
        study_hash: str = _NO_STUDY,
        k_min: int = MIN_SITES,
        mode: Mode = "masked",
    ) -> "SecureSum":
        """Generate identities; nobody has spoken yet."""
        names = (*sites, STEWARD, SECOND_STEWARD)
        return cls(
            identities={name: Identity.generate() for name in names},
            sites={name: site.begin(name=name, study_hash=study_hash) for name in sites},
            steward=steward.begin(name=STEWARD),
            second_steward=second_steward.begin(name=SECOND_STEWARD),
            aggregator=aggregator.begin(
                run_id=run_id or secrets.token_hex(16),
                study_hash=study_hash,
                sites=sites,
                steward=STEWARD,
                second_steward=SECOND_STEWARD if mode == "two-steward" else "",
                k_min=k_min,
            ),
        )

    @classmethod
    def open(
        cls,
        sites: Sequence[str],
        *,
        run_id: str | None = None,
        study_hash: str = _NO_STUDY,
        k_min: int = MIN_SITES,
        mode: Mode = "masked",
    ) -> "SecureSum":
        """Generate identities, exchange keys and, in masked mode, freeze the roster."""
        pool = cls.begin(sites, run_id=run_id, study_hash=study_hash, k_min=k_min, mode=mode)
        state, posts = aggregator.open(pool.aggregator)
        return replace(pool, aggregator=state).run(posts)

    def sum(
        self,
        contributions: Mapping[str, Contributions],
        *,
        kind: UploadKind = headers.UPLOAD,
        silent: Collection[str] = (),
    ) -> tuple["SecureSum", dict[str, Released]]:
        """Add the sites' vectors: site name to (statistic name to (spec, vector)).

        The sites in `silent` answer nothing from here on; the sum goes on without them where the
        protocol allows it. `aggregator.summed` of the result says who is in it.
        """
        specs = [spec for spec, _ in next(iter(contributions.values())).values()]
        state, posts = aggregator.ask(self.aggregator, specs=specs, kind=kind)
        pool = replace(self, aggregator=state).run(
            posts, contributions=contributions, silent=silent
        )
        return pool, dict(pool.aggregator.totals)

    def run(
        self,
        posts: Sequence[Post],
        *,
        contributions: Mapping[str, Contributions] | None = None,
        silent: Collection[str] = (),
    ) -> "SecureSum":
        """Deliver messages and replies until nobody is waited for; silence counts as expired."""
        pool, queue = self, deque(posts)
        while queue or aggregator.is_waiting(pool.aggregator):
            if not queue:
                state, more = aggregator.expire(pool.aggregator)
            else:
                post = queue.popleft()
                if post.recipient in silent:
                    continue
                pool, reply = pool.deliver(post, contributions or {})
                state, more = aggregator.receive(pool.aggregator, post.recipient, reply)
            pool = replace(pool, aggregator=state)
            queue.extend(more)
        return pool

    def deliver(
        self, post: Post, contributions: Mapping[str, Contributions]
    ) -> tuple["SecureSum", Message]:
        """One party's step."""
        name, message = post.recipient, post.message
        identity = self.identities[name]
        if name == STEWARD:
            state, reply = steward.step(self.steward, message, identity=identity)
            return replace(self, steward=state), reply
        if name == SECOND_STEWARD:
            second, reply = second_steward.step(self.second_steward, message, identity=identity)
            return replace(self, second_steward=second), reply
        own, reply = site.step(
            self.sites[name], message, identity=identity, contributions=contributions.get(name)
        )
        return replace(self, sites={**self.sites, name: own}), reply


def sum_securely(
    vectors_by_site: Mapping[str, IntVector], spec: StatisticSpec, *, mode: Mode = "masked"
) -> Released:
    """Run the whole protocol once for one statistic.

    Equals `plain_sum` of the same vectors; that is the protocol's law.
    """
    pool = SecureSum.open(tuple(vectors_by_site), mode=mode)
    contributions = {name: {spec.name: (spec, v)} for name, v in vectors_by_site.items()}
    _, totals = pool.sum(contributions)
    return totals[spec.name]
