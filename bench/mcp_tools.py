"""The tools that the official conformance runner of MCP calls, behind a gate.

Source: the scenarios of ``@modelcontextprotocol/conformance``, which say what each of them must answer.
``python -m bench.mcp_tools`` serves them, and prints where.
"""

from __future__ import annotations

import asyncio
import base64
import struct
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from starlette.types import Receive, Scope, Send

from callgate.call import Tool, ToolResult
from callgate.config import load
from callgate.doors.app import http_app
from callgate.doors.server import Server
from callgate.gate import Gate
from callgate.tools import Invocation

KEY: Final = "conformance-key"

SETTINGS: Final = """\
[gate]
store = "sqlite:conformance.db"
[agents.conformance]
key = "env:CONFORMANCE_KEY"
tools = ["*"]
[tasks.default]
budget = "$1"
"""


def _png() -> bytes:
    """Return a picture of one red point."""

    def part(kind: bytes, data: bytes) -> bytes:
        sum32 = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum32

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0\xff\0\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(part(*each) for each in parts)


def _wav() -> bytes:
    """Return a sound of no length."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8_000, 8_000, 1, 8)
    return b"RIFF" + struct.pack("<I", 36) + b"WAVE" + form + struct.pack("<4sI", b"data", 0)


def _text(text: str) -> Mapping[str, Any]:
    return {"type": "text", "text": text}


def _resource(uri: str, kind: str, text: str) -> Mapping[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}


PICTURE: Final = {
    "type": "image",
    "data": base64.b64encode(_png()).decode(),
    "mimeType": "image/png",
}
SOUND: Final = {
    "type": "audio",
    "data": base64.b64encode(_wav()).decode(),
    "mimeType": "audio/wav",
}

ANSWERS: Final[Mapping[str, ToolResult]] = {
    "test_simple_text": ToolResult(content=(_text("This is a simple text response for testing."),)),
    "test_image_content": ToolResult(content=(PICTURE,)),
    "test_audio_content": ToolResult(content=(SOUND,)),
    "test_embedded_resource": ToolResult(
        content=(
            _resource(
                "test://embedded-resource", "text/plain", "This is an embedded resource content."
            ),
        )
    ),
    "test_multiple_content_types": ToolResult(
        content=(
            _text("Multiple content types test:"),
            PICTURE,
            _resource(
                "test://mixed-content-resource",
                "application/json",
                '{"test":"data","value":123}',
            ),
        )
    ),
    "test_error_handling": ToolResult(
        content=(_text("This tool intentionally returns an error for testing"),), is_error=True
    ),
    "test_tool_with_progress": ToolResult(content=(_text("done"),)),
    "json_schema_2020_12_tool": ToolResult(content=(_text("ok"),)),
    "test_custom_headers": ToolResult(content=(_text("ok"),)),
    "test_trigger_tool_change": ToolResult(content=(_text("changed"),)),
}


def _form(**properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a question for all of these."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"mode": "form", "message": "Please tell.", "requestedSchema": schema}


def _titled(*values: str) -> Sequence[Mapping[str, str]]:
    return [{"const": value, "title": value.title()} for value in values]


OPTIONS: Final = ("option1", "option2", "option3")
TITLED: Final = _titled("value1", "value2", "value3")

QUESTIONS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "test_elicitation": [_form(username={"type": "string"}, email={"type": "string"})],
    "test_elicitation_sep1034_defaults": [
        _form(
            name={"type": "string", "default": "John Doe"},
            age={"type": "integer", "default": 30},
            score={"type": "number", "default": 95.5},
            status={
                "type": "string",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            verified={"type": "boolean", "default": True},
        )
    ],
    "test_elicitation_sep1330_enums": [
        _form(
            untitledSingle={"type": "string", "enum": OPTIONS},
            titledSingle={"type": "string", "oneOf": TITLED},
            legacyEnum={
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            untitledMulti={"type": "array", "items": {"type": "string", "enum": OPTIONS}},
            titledMulti={"type": "array", "items": {"anyOf": TITLED}},
        )
    ],
    "test_input_required_result_elicitation": [_form(name={"type": "string"})],
    "test_input_required_result_request_state": [_form(ok={"type": "boolean"})],
    "test_input_required_result_tampered_state": [_form(ok={"type": "boolean"})],
    "test_input_required_result_multi_round": [
        _form(name={"type": "string"}),
        _form(color={"type": "string"}),
    ],
}
"""What tools ask before they answer, one after the other."""

NOTHING: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}

SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
    "test_custom_headers": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    },
}


def _tool(name: str) -> Tool:
    return Tool(
        name=name,
        description=f"What the scenario {name} calls.",
        input_schema=SCHEMAS.get(name, NOTHING),
        effect="read",
        toolset="conformance",
        remote_name=name,
    )


class Conformance:
    """The toolset; one of its tools changes it."""

    name = "conformance"
    pinning = None

    def __init__(self) -> None:
        self._tools = tuple(map(_tool, (*ANSWERS, *QUESTIONS)))

    def start(self) -> None:
        """Nothing goes on beside the calls."""

    def tools(self) -> Sequence[Tool]:
        """Return what there is now."""
        return self._tools

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Answer as the scenario wants it."""
        name = invocation.tool.remote_name
        if name == "test_tool_with_progress" and invocation.on_progress is not None:
            for done in (0, 50, 100):
                await invocation.on_progress(done, 100, f"Completed step {done} of 100")
                await asyncio.sleep(0.05)
        if name == "test_trigger_tool_change":
            self._tools = (*self._tools, _tool(f"another_{len(self._tools)}"))
        if name in QUESTIONS:
            return await _asked(invocation, QUESTIONS[name])
        return ANSWERS.get(name, ToolResult(content=(_text("ok"),)))

    async def close(self) -> None:
        """Nothing is open."""


async def _asked(invocation: Invocation, questions: Sequence[Mapping[str, Any]]) -> ToolResult:
    if invocation.on_question is None:
        return ToolResult(content=(_text("nobody can be asked"),), is_error=True)
    told = [await invocation.on_question(each) for each in questions]
    return ToolResult(content=(_text(f"state-ok: {told}"),))


async def serve() -> None:
    """Serve them until killed; the runner sends no key, so that one is put in on the way."""
    with tempfile.TemporaryDirectory(prefix="callgate-conformance-") as folder:
        config = Path(folder) / "callgate.toml"
        config.write_text(SETTINGS)
        environ = {"CONFORMANCE_KEY": KEY}
        gate = await Gate.open(
            load(config, environ=environ), environ=environ, toolsets=[Conformance()]
        )
        app = http_app(gate)

        async def opened(scope: Scope, receive: Receive, send: Send) -> None:
            key = (b"authorization", f"Bearer {KEY}".encode())
            await app({**scope, "headers": [*scope["headers"], key]}, receive, send)

        server = Server(opened, host="127.0.0.1", port=0)
        await server.start()
        print(msgspec.json.encode({"url": f"{server.url}/mcp"}).decode(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
