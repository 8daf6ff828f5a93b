"""What the simulated providers do: a script of rules, validated whole.

The tables of this package are the format of a script, in TOML and as Python dicts alike;
``docs/simulator.md`` describes it for its readers.
"""

from __future__ import annotations

from callgate.testing.simulator.script.answers import (
    AnswerTable,
    PaceTable,
    ShapeTable,
    ToolCallTable,
    UsageTable,
)
from callgate.testing.simulator.script.faults import (
    CARRIES_AN_ERROR,
    WITHOUT_STATUS,
    FaultTable,
    Kind,
)
from callgate.testing.simulator.script.platform import (
    PlatformFaultTable,
    PlatformStepTable,
    PlatformTable,
    PlatformToolTable,
)
from callgate.testing.simulator.script.reading import ScriptError, parse_script, read_script
from callgate.testing.simulator.script.rules import (
    LimitTable,
    MatchTable,
    PriceTable,
    RuleTable,
    Script,
    ServedTable,
    StepTable,
    TierTable,
)
from callgate.testing.simulator.script.values import Api, Endpoint, Finish, FormatName, Table

__all__ = [
    "CARRIES_AN_ERROR",
    "WITHOUT_STATUS",
    "AnswerTable",
    "Api",
    "Endpoint",
    "FaultTable",
    "Finish",
    "FormatName",
    "Kind",
    "LimitTable",
    "MatchTable",
    "PaceTable",
    "PlatformFaultTable",
    "PlatformStepTable",
    "PlatformTable",
    "PlatformToolTable",
    "PriceTable",
    "RuleTable",
    "Script",
    "ScriptError",
    "ServedTable",
    "ShapeTable",
    "StepTable",
    "Table",
    "TierTable",
    "ToolCallTable",
    "UsageTable",
    "parse_script",
    "read_script",
]
