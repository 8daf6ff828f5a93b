"""Simulated providers: OpenAI, Anthropic and Gemini on one port.

A simulator answers by script, breaks by script below HTTP where a fault is there, bills what it
generated, and keeps what it received byte for byte. It shares no code with ``callgate.wire`` and
``callgate.pricing`` on purpose: two implementations that agree are evidence, one is an opinion.

``docs/simulator.md`` describes the script.
"""

from __future__ import annotations

from callgate.testing.simulator.bill import Bill, BillLine
from callgate.testing.simulator.journal import ReceivedRequest
from callgate.testing.simulator.script import Script, ScriptError, parse_script, read_script
from callgate.testing.simulator.server import Simulator, serve

__all__ = [
    "Bill",
    "BillLine",
    "ReceivedRequest",
    "Script",
    "ScriptError",
    "Simulator",
    "parse_script",
    "read_script",
    "serve",
]
