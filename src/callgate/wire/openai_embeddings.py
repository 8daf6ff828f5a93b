"""OpenAI embeddings: texts in, vectors out, and never a stream."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from callgate.call import Meter
from callgate.wire import Request, Rewrite
from callgate.wire.document import Document, malformed
from callgate.wire.failures import error_object, failure_of
from callgate.wire.fields import text_of, wrong
from callgate.wire.openai import complaint_in
from callgate.wire.openai_chat import OpenAIChat, usage_of
from callgate.wire.replies import mapping, object_of, unreadable
from callgate.wire.reported import reported_cost

TOKENS: Final = re.compile(rb"\[[0-9, \t\n\r]*\]")
"""A list of tokens, which are numbers."""


class Page(msgspec.Struct, kw_only=True):
    """As much of a plain reply as the gate must know."""

    data: msgspec.Raw = msgspec.Raw()
    model: Any = None
    usage: Any = None


_INPUTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_PAGE: Final = msgspec.json.Decoder(Page)


class OpenAIEmbeddings(OpenAIChat):
    """``/embeddings``; its errors are those of Chat Completions."""

    name = "openai_embeddings"

    def path(self, *, model: str, stream: bool) -> str:
        """Return where a provider serves it."""
        del model, stream
        return "/embeddings"

    def parse(self, body: bytes, /, *, model: str = "", stream: bool = False) -> Request:
        """Read a request."""
        del model, stream
        document = Document.parse(body)
        inputs, opaque = _inputs(document)
        return Request(
            document=document,
            model=text_of(document, "model"),
            stream=False,
            # A vector is no output that is paid for.
            output_limit=0,
            messages=inputs,
            inputs=inputs,
            has_tools=False,
            opaque=opaque,
            service_tier=document.get("service_tier"),
        )

    def rewrite(
        self, request: Request, /, *, model: str, output_tokens: int | None, limit_field: str | None
    ) -> Rewrite:
        """Return the request as it leaves; there is no output to limit."""
        del output_tokens, limit_field
        if model == request.model:
            return Rewrite(body=request.document.source, changes=())
        body = request.document.edit({"model": msgspec.json.encode(model)})
        return Rewrite(body=body, changes=(f"model={model}",))

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read a plain reply."""
        page = _page(body)
        if bytes(memoryview(page.data)[:1]) != b"[":
            if error_object(body):
                raise failure_of(complaint_in(body))
            problem = "is no list of embeddings"
            raise unreadable(problem, body)
        meter.model = page.model if isinstance(page.model, str) else None
        meter.usage = usage_of(mapping(page.usage))
        if meter.believed is not None:
            meter.reported = reported_cost(body, meter.believed)
        meter.finished = True


def _inputs(document: Document) -> tuple[int, str | None]:
    """Return how many inputs there are, and which of them its bytes do not bound.

    An input is a text, or a list of tokens, each of which takes more than a byte.

    Source: openai-python 3.57 (``EmbeddingCreateParams.input``).
    """
    field = "input"
    written = document.raw(field)
    if written[:1] == b'"':
        return 1, None
    if written[:1] != b"[":
        raise wrong(field, "a text or a list", document.get(field))
    if TOKENS.fullmatch(written):
        return 1, None
    try:
        inputs = _INPUTS.decode(written)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"{field} cannot be read: {error}"
        raise malformed(msg) from error
    strange = next((n for n, each in enumerate(inputs) if not _is_text(bytes(each))), None)
    return len(inputs), None if strange is None else f"input[{strange}] is no text"


def _is_text(written: bytes) -> bool:
    return written[:1] == b'"' or TOKENS.fullmatch(written) is not None


def _page(body: bytes) -> Page:
    """Read a list of embeddings; what the strict reader cannot read, its reader may still use."""
    try:
        return _PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        page = object_of(body)
        is_list = isinstance(page.get("data"), list)
        data = msgspec.Raw(b"[]" if is_list else b"{}")
        return Page(data=data, model=page.get("model"), usage=page.get("usage"))
