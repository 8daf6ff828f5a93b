"""Parse: read what a call says about itself; refuse what cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from callgate.errors import InvalidArguments, Reason
from callgate.pipeline.stage import ModelPassage, ToolPassage
from callgate.redact import excerpt
from callgate.wire import Format


class Parse(msgspec.Struct, frozen=True, kw_only=True):
    """Turn the bytes of a call into a request, once."""

    formats: Mapping[str, Format]

    def guard(self, passage: ModelPassage, /) -> None:
        """Read the request; a flaw that the door found is told here, so that it leaves a row."""
        call = passage.call
        if call.flaw is not None:
            raise call.flaw
        format = self.formats[call.format]
        request = format.parse(call.body, model=call.model, stream=call.stream)
        passage.request, passage.target, passage.stream = request, request.model, request.stream


class ParseTool(msgspec.Struct, frozen=True, kw_only=True):
    """Turn the bytes of a call to a tool into its arguments, once."""

    def guard(self, passage: ToolPassage, /) -> None:
        """Read the arguments; a flaw that the door found is told here, so that it leaves a row."""
        call = passage.call
        passage.target = call.name or None
        if call.flaw is not None:
            raise call.flaw
        try:
            arguments: Any = msgspec.json.decode(call.body or b"{}")
        except RecursionError:
            _refuse(passage, "are nested too deeply")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _refuse(passage, f"are no JSON: {error}")
        if not isinstance(arguments, dict):
            _refuse(passage, f"are no JSON object but {type(arguments).__name__}")
        # As every door and client writes it.
        passage.input = excerpt(msgspec.json.encode(arguments))
        passage.arguments = arguments


def _refuse(passage: ToolPassage, why: str) -> NoReturn:
    name = passage.call.name
    passage.input = excerpt(passage.call.body)
    fix = "send the arguments as one JSON object"
    msg = f"the arguments of {name} {why}; {fix}"
    raise InvalidArguments(
        msg, reason=Reason(code=InvalidArguments.code, rule=f"tools.{name}", fix=fix)
    )
