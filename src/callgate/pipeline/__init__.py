"""The road: every model call and every tool call takes it, from whichever door it came.

Read :data:`ORDER` to know what happens to a call, outermost stage first. Stages above ``retry``
see a call once (``route`` walks its candidates); stages below see every attempt. What a stage needs to
know of models or tools it is given: some have another part for each kind, and one that has none for a
kind is not on its road.
"""

from callgate.pipeline.admit import Admit
from callgate.pipeline.breaker import Breaker
from callgate.pipeline.conditions import Conditions
from callgate.pipeline.execute import Execute
from callgate.pipeline.identify import Identify
from callgate.pipeline.parse import Parse
from callgate.pipeline.permission import Permission
from callgate.pipeline.record import Record
from callgate.pipeline.replay import Replay
from callgate.pipeline.retry import Retry
from callgate.pipeline.route import Route
from callgate.pipeline.secrets import Secrets
from callgate.pipeline.stage import (
    AnyPassage,
    Guard,
    ModelPassage,
    Next,
    Road,
    Stage,
    ToolPassage,
    compose,
)
from callgate.pipeline.validate import Validate

ORDER = (
    Record,
    Identify,
    Parse,
    Permission,
    Validate,
    Conditions,
    Replay,
    Route,
    Retry,
    Breaker,
    Admit,
    Secrets,
)
"""The stages around ``execute``, which is the end of the road."""

__all__ = [
    "ORDER",
    "AnyPassage",
    "Execute",
    "Guard",
    "ModelPassage",
    "Next",
    "Road",
    "Stage",
    "ToolPassage",
    "compose",
]
