"""The roads: every kind of call takes the same stages in the same order, with parts of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from callgate.call import Candidate
from callgate.config.policies import Settings
from callgate.gate.parts import Parts
from callgate.pipeline import ORDER, Guard, Road, Stage, compose
from callgate.pipeline.admit import Admit
from callgate.pipeline.breaker import Breaker
from callgate.pipeline.identify import Identify
from callgate.pipeline.record import Record
from callgate.pipeline.retry import Retry
from callgate.pipeline.secrets import Secrets as SecretsStage
from callgate.pipeline.terms import Terms
from callgate.secrets import Secrets
from callgate.store.calendar import Calendar


class Kind(Protocol):
    """What one kind of call has of its own."""

    @property
    def stages(self) -> Mapping[type, Stage[Any] | Guard[Any]]:
        """The stages that no other kind has; one that is left out of it does nothing for it."""
        ...

    @property
    def terms(self) -> Terms[Any]:
        """What its calls cost."""
        ...

    @property
    def is_settled(self) -> Callable[[Candidate], bool]:
        """Tells whether the settings say who serves it, whoever asks."""
        ...

    def keys(self, provider: str, /) -> Iterable[str | None]:
        """Return the references of the keys that one who serves it is asked with."""
        ...

    @property
    def end(self) -> Road[Any]:
        """The end of the road."""
        ...


def road_of(kind: Kind, *, settings: Settings, secrets: Secrets, parts: Parts) -> Road[Any]:
    """Return the road of a kind of call."""
    store, clock = parts.store, parts.clock
    stages: dict[type, Stage[Any] | Guard[Any]] = {
        Record: Record(store=store, clock=clock, late=parts.late),
        Identify: Identify(settings=settings, store=store),
        Retry: Retry(store=store, clock=clock, rng=parts.rng),
        Breaker: Breaker(
            resolver=secrets, health=parts.health, is_settled=kind.is_settled, keys=kind.keys
        ),
        Admit: Admit(
            terms=kind.terms,
            store=store,
            clock=clock,
            late=parts.late,
            calendar=Calendar(settings.gate.zone),
        ),
        SecretsStage: SecretsStage(resolver=secrets),
        **kind.stages,
    }
    return compose([stages[stage] for stage in ORDER if stage in stages], kind.end)
