"""What roads are made of and outlives the settings that they go by."""

from __future__ import annotations

import random
from collections.abc import Mapping

import msgspec

from callgate.clock import Clock
from callgate.pipeline.choosing import Performances
from callgate.pipeline.earlier import EarlierReplies
from callgate.pipeline.flights import Flights
from callgate.pipeline.health import Health
from callgate.pipeline.late import LateOutcomes
from callgate.pricing.noted import NotedPrices
from callgate.store import Store


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What every version of the settings shares."""

    store: Store
    clock: Clock
    rng: random.Random
    environ: Mapping[str, str]
    late: LateOutcomes
    health: Health
    earlier: EarlierReplies
    noted: NotedPrices
    performances: Performances
    flights: Flights
