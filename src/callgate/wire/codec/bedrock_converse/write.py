"""Writes a request for Converse from the canonical form.

Source, unless another is named: botocore 1.44, ``bedrock-runtime/2023-09-30/service-2.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from callgate.wire.codec import Target, Written
from callgate.wire.codec.bedrock_converse.params import write_params
from callgate.wire.codec.canonical import (
    File,
    Image,
    Opaque,
    Params,
    Part,
    Prompt,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.params import note_cache, note_prefill, note_tool_names
from callgate.wire.codec.replies import object_in
from callgate.wire.codec.schemas import EMPTY
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds
from callgate.wire.document import decoded, malformed

IMAGES: Final[Mapping[str, str]] = {
    "image/gif": "gif",
    "image/jpeg": "jpeg",
    "image/png": "png",
    "image/webp": "webp",
}

FILES: Final[Mapping[str, str]] = {
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
}

STORED: Final = "s3://"
"""How a URL begins that Bedrock can read."""

NAMELESS: Final = "document"
NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9()\[\]-]+")
"""What a document's name must not hold, but for single spaces."""

LONGEST_NAME: Final = 200

NOT_MINE: Final = "only the provider that made it can read it"
ONLY_USERS: Final = "the format takes images and documents of the user alone"


class Writer:
    """Writes one conversation."""

    __slots__ = ("_caches", "_ids", "_names", "_target", "losses", "system")

    def __init__(self, target: Target, losses: Losses) -> None:
        self._target = target
        self._ids = ToolIds(ALPHABETS[target.tool_ids or "bedrock"])
        self._names: set[str] = set()
        self._caches = caches(target.model)
        self.system: list[dict[str, Any]] = []
        self.losses = losses

    def messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """Return the messages; turns of one side that follow each other are one."""
        self.system = [block for part in prompt.system for block in self._text(part)]
        messages: list[dict[str, Any]] = []
        for n, turn in enumerate(prompt.turns):
            role = "system" if turn.role == "developer" else turn.role
            blocks = list(self._blocks(turn, n))
            if role == "system" and "system_turns" in self._target.lacks:
                self._hoist(blocks, n)
            elif blocks and messages and messages[-1]["role"] == role:
                messages[-1]["content"] += blocks
            elif blocks:
                messages.append({"role": role, "content": blocks})
        if not messages:
            msg = "the request has no words but instructions; Converse needs a message"
            raise malformed(msg, code="wrong_field")
        self._note_wordless(messages)
        return messages

    def _hoist(self, blocks: list[dict[str, Any]], n: int) -> None:
        why = "the target takes instructions at the beginning only; it would stand there"
        self.losses.add("place", f"$.turns[{n}]", what="an instruction", why=why)
        self.system += blocks

    def _note_wordless(self, messages: list[dict[str, Any]]) -> None:
        """Note documents that no word stands beside, which the provider refuses."""
        for n, message in enumerate(messages):
            kinds = {kind for block in message["content"] for kind in block}
            if "document" in kinds and "text" not in kinds:
                why = "the provider takes a document only with words beside it"
                self.losses.add("document", f"$.messages[{n}]", what="a document alone", why=why)

    def _blocks(self, turn: Turn, n: int) -> Iterator[dict[str, Any]]:
        """Yield what a turn holds: results first, as they must follow their calls."""
        later: list[dict[str, Any]] = []
        for at, part in enumerate(turn.parts):
            where = f"$.turns[{n}].parts[{at}]"
            if isinstance(part, Image | File) and turn.role != "user":
                name = "image" if isinstance(part, Image) else "document"
                self.losses.add(name, where, what=f"of the {turn.role}", why=ONLY_USERS)
                continue
            blocks = self._part(part, where)
            if turn.role == "user" and not isinstance(part, ToolResult):
                later += blocks
            else:
                yield from blocks
        yield from later

    def _part(self, part: Part, where: str) -> list[dict[str, Any]]:
        """Return the blocks of a part: none for words that are none, two with a cache marker."""
        match part:
            case Text():
                return self._text(part)
            case ToolUse():
                return self._cached([self._use(part, where)], part.cache)
            case ToolResult():
                return self._cached([self._result(part, where)], part.cache)
            case Image():
                return self._cached(self._image(part, where), part.cache)
            case File():
                return self._cached(self._file(part, where), part.cache)
            case _:
                return self._private(part, where)

    def _text(self, part: Text) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = [{"text": part.text}] if part.text.strip() else []
        return self._cached(blocks, part.cache)

    def _cached(
        self, blocks: list[dict[str, Any]], cache: msgspec.Raw | None
    ) -> list[dict[str, Any]]:
        if cache is not None and self._caches and blocks:
            blocks.append(cache_point(cache))
        return blocks

    def _use(self, use: ToolUse, where: str) -> dict[str, Any]:
        told = object_in(use.arguments)
        if told is None:
            why = "the format takes an object; the words would stand in one"
            self.losses.add("arguments", where, what=f"a call of {use.name}", why=why)
            told = msgspec.Raw(msgspec.json.encode({"arguments": use.arguments}))
        if use.signature is not None:
            why = "only who signed it can read it"
            self.losses.add("thinking", where, what="the signature of a call", why=why)
        return {"toolUse": {"toolUseId": self._ids.write(use.id), "name": use.name, "input": told}}

    def _result(self, result: ToolResult, where: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for n, part in enumerate(result.parts):
            bare = part if isinstance(part, Opaque) else msgspec.structs.replace(part, cache=None)
            content += self._part(bare, f"{where}.parts[{n}]")
        told: dict[str, Any] = {"toolUseId": self._ids.write(result.use_id), "content": content}
        if result.is_error:
            told["status"] = "error"
        return {"toolResult": told}

    def _private(self, part: Refusal | Thinking | Opaque, where: str) -> list[dict[str, Any]]:
        """Return a part that only who made it can read, if it goes there, or words that declined."""
        if isinstance(part, Refusal):
            return [{"text": part.text}] if part.text.strip() else []
        if isinstance(part, Opaque):
            self.losses.add("opaque", where, what=part.kind, why=NOT_MINE)
            return []
        if part.signature is None or part.minted_by != self._target.minter:
            why = "a thought goes only to who made it, with its signature"
            self.losses.add("thinking", where, what="thinking", why=why)
            return []
        if part.is_redacted:
            return [{"reasoningContent": {"redactedContent": part.signature}}]
        told = {"text": part.text, "signature": part.signature}
        return [{"reasoningContent": {"reasoningText": told}}]

    def _image(self, image: Image, where: str) -> list[dict[str, Any]]:
        if image.detail is not None:
            why = "the format has no such field"
            self.losses.add("image_detail", where, what=image.detail, why=why)
        form = IMAGES.get(image.media_type or "")
        source = _source(image)
        if form is None or source is None:
            why = f"the format takes the bytes of {', '.join(IMAGES)}, or what is in S3"
            what = image.media_type or ("file_id" if image.file_id else "url")
            self.losses.add("image", where, what=what, why=why)
            return []
        return [{"image": {"format": form, "source": source}}]

    def _file(self, file: File, where: str) -> list[dict[str, Any]]:
        form = "txt" if file.text is not None else FILES.get(file.media_type or "")
        source = {"text": file.text} if file.text is not None else _source(file)
        if form is None or source is None:
            why = f"the format takes {', '.join(FILES.values())} as bytes, or what is in S3"
            what = file.media_type or ("file_id" if file.file_id else "url")
            self.losses.add("document", where, what=what, why=why)
            return []
        name = self._name(file.name, form, where)
        return [{"document": {"format": form, "name": name, "source": source}}]

    def _name(self, name: str | None, form: str, where: str) -> str:
        """Return a document's name as the provider takes it, unlike that of any other document.

        The format tells what the end of a file's name does, so that nothing is lost without it.
        """
        wanted = (name or NAMELESS).removesuffix(f".{form}")
        written = NOT_IN_A_NAME.sub(" ", wanted).strip()[:LONGEST_NAME] or NAMELESS
        if written != wanted:
            why = f"the provider takes letters, digits, spaces, - ( ) [ ]; {written!r} would go"
            self.losses.add("document", f"{where}.name", what=wanted[:80], why=why)
        taken, n = written, 2
        while taken in self._names:
            taken, n = f"{written} {n}", n + 1
        self._names.add(taken)
        return taken


def _source(part: Image | File) -> dict[str, Any] | None:
    if part.data is not None:
        return {"bytes": part.data}
    if part.url is not None and part.url.startswith(STORED):
        return {"s3Location": {"uri": part.url}}
    return None


def caches(model: str) -> bool:
    """Whether a model takes cache markers wherever Anthropic's API does.

    Source: AWS's guide to prompt caching: others take them in fewer places, or refuse them.
    """
    return "anthropic." in model


def cache_point(cache: msgspec.Raw) -> dict[str, Any]:
    """Return a cache marker; only the longer lifetime is named."""
    told: object = decoded("cache_control", cache)
    point: dict[str, Any] = {"type": "default"}
    if isinstance(told, dict) and "1h" in told.values():
        point["ttl"] = "1h"
    return {"cachePoint": point}


def write_request(prompt: Prompt, target: Target) -> Written:
    """Write a request; model and stream are in its path."""
    losses = Losses(prompt.losses)
    writer = Writer(target, losses)
    request: dict[str, Any] = {"messages": writer.messages(prompt)}
    if writer.system:
        request["system"] = writer.system
    _write_tools(request, prompt, target, losses)
    if not caches(target.model):
        note_cache(prompt, losses)
    note_prefill(prompt, losses)
    write_params(request, prompt.params, target, losses)
    return Written(body=msgspec.json.encode(request), losses=tuple(losses))


def _write_tools(request: dict[str, Any], prompt: Prompt, target: Target, losses: Losses) -> None:
    """Add the tools; where none may be called, none is told, as the format has no word for it."""
    if not prompt.tools:
        return
    choice = prompt.params.tool_choice
    if choice is not None and choice.mode == "none" and not _used(prompt):
        return
    told: list[dict[str, Any]] = []
    for tool in prompt.tools:
        told.append(_tool(tool))
        if tool.cache is not None and caches(target.model):
            told.append(cache_point(tool.cache))
    note_tool_names(prompt.tools, losses)
    config: dict[str, Any] = {"tools": told}
    _write_choice(config, prompt.params, losses)
    request["toolConfig"] = config


def _used(prompt: Prompt) -> bool:
    """Whether a tool was called before: then the provider must be told of them."""
    return any(isinstance(part, ToolUse) for turn in prompt.turns for part in turn.parts)


def _tool(tool: Tool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name}
    if tool.description:
        told["description"] = tool.description
    told["inputSchema"] = {"json": EMPTY if tool.parameters is None else tool.parameters}
    if tool.strict is not None:
        told["strict"] = tool.strict
    return {"toolSpec": told}


def _write_choice(config: dict[str, Any], params: Params, losses: Losses) -> None:
    choice = params.tool_choice
    if choice is None:
        return
    empty: dict[str, Any] = {}
    if len(choice.names) == 1 and choice.mode == "required":
        config["toolChoice"] = {"tool": {"name": choice.names[0]}}
        return
    if choice.names or choice.mode == "none":
        why = "the format knows one tool or all of them, and no ban after a tool was called"
        what = ", ".join(choice.names)[:80] or choice.mode
        losses.add("tool_choice", "$.params.tool_choice", what=what, why=why)
    config["toolChoice"] = {"any": empty} if choice.mode == "required" else {"auto": empty}
