"""Which path is whose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

import msgspec

from callgate.testing.simulator.aws_signature import SCHEME, access_key_in
from callgate.testing.simulator.connection import Incoming
from callgate.testing.simulator.formats.anthropic_messages import AnthropicMessages
from callgate.testing.simulator.formats.bedrock import Bedrock
from callgate.testing.simulator.formats.format import Format
from callgate.testing.simulator.formats.gemini import Gemini
from callgate.testing.simulator.formats.openai_chat import OpenAIChat
from callgate.testing.simulator.formats.openai_embeddings import OpenAIEmbeddings
from callgate.testing.simulator.formats.openai_responses import OpenAIResponses
from callgate.testing.simulator.request import Problem
from callgate.testing.simulator.script import Endpoint

CHAT: Final = OpenAIChat()
RESPONSES: Final = OpenAIResponses()
EMBEDDINGS: Final = OpenAIEmbeddings()
MESSAGES: Final = AnthropicMessages()
GEMINI: Final = Gemini()
BEDROCK: Final = Bedrock()

POSTS: Final[Mapping[str, tuple[Format, Endpoint]]] = {
    "/v1/chat/completions": (CHAT, "generate"),
    "/v1/responses": (RESPONSES, "generate"),
    "/v1/responses/input_tokens": (RESPONSES, "count_tokens"),
    "/v1/embeddings": (EMBEDDINGS, "embed"),
    "/v1/messages": (MESSAGES, "generate"),
    "/v1/messages/count_tokens": (MESSAGES, "count_tokens"),
}
GEMINI_PATH: Final = re.compile(r"/(?:v1beta|v1alpha|v1)/models/([^:]+):(\w+)")
GEMINI_ACTIONS: Final[Mapping[str, Endpoint]] = {
    "generateContent": "generate",
    "streamGenerateContent": "generate",
    "countTokens": "count_tokens",
}
AZURE_PATH: Final = re.compile(r"/openai(?:/deployments/([^/]+)|(/v1))(/.+)")
"""Azure's two kinds of addresses: the older one names the deployment, and the query the version."""
BEDROCK_PATH: Final = re.compile(r"/model/([^/]+)/(converse|converse-stream)")
MODELS: Final = re.compile(r"/(v1|v1beta|v1alpha)/models(?:/([^:]+))?")
RETRIEVED: Final = re.compile(r"/v1/responses/([^/]+)(/input_items)?")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes."""

    format: Format
    endpoint: Endpoint
    method: str = "POST"
    name: str = ""
    """What the path names: a model, or a reply."""
    streams: bool = False
    """Whether the path itself asks for a stream."""
    is_known: bool = True


def find_route(incoming: Incoming) -> Route:
    """Return who is spoken to; what nobody knows is somebody's to refuse."""
    found = POSTS.get(incoming.path)
    if found is not None:
        return Route(format=found[0], endpoint=found[1])
    for find in (_gemini, _bedrock, _azure, _models, _retrieved):
        route = find(incoming)
        if route is not None:
            return route
    return _unknown(incoming)


def _gemini(incoming: Incoming) -> Route | None:
    match = GEMINI_PATH.fullmatch(incoming.path)
    if match is None:
        return None
    model, action = match.groups()
    return Route(
        format=GEMINI,
        endpoint=GEMINI_ACTIONS.get(action, "generate"),
        name=unquote(model),
        streams=action == "streamGenerateContent",
        is_known=action in GEMINI_ACTIONS,
    )


def _bedrock(incoming: Incoming) -> Route | None:
    match = BEDROCK_PATH.fullmatch(incoming.path)
    if match is None:
        return None
    model, action = match.groups()
    return Route(
        format=BEDROCK,
        endpoint="generate",
        name=unquote(model),
        streams=action == "converse-stream",
    )


def _azure(incoming: Incoming) -> Route | None:
    match = AZURE_PATH.fullmatch(incoming.path)
    found = None if match is None else POSTS.get(f"/v1{match[3]}")
    if match is None or found is None or found[0].api != "openai":
        return None
    if match[2] is None and "api-version=" not in incoming.query:
        return None
    return Route(format=found[0], endpoint=found[1], name=unquote(match[1] or ""))


def _models(incoming: Incoming) -> Route | None:
    match = MODELS.fullmatch(incoming.path)
    if match is None:
        return None
    version, name = match.groups()
    format = _who_lists(incoming) if version == "v1" else GEMINI
    return Route(format=format, endpoint="models", method="GET", name=unquote(name or ""))


def _retrieved(incoming: Incoming) -> Route | None:
    match = RETRIEVED.fullmatch(incoming.path)
    if match is None:
        return None
    method = "DELETE" if incoming.method == "DELETE" and not match[2] else "GET"
    name = match[1] + (match[2] or "")
    return Route(format=RESPONSES, endpoint="retrieve", method=method, name=name)


def _unknown(incoming: Incoming) -> Route:
    format = GEMINI if incoming.path.startswith("/v1beta/") else _who_lists(incoming)
    return Route(format=format, endpoint="models", is_known=False)


def _who_lists(incoming: Incoming) -> Format:
    """Return whose ``/v1`` is meant.

    Anthropic's clients always name their version, Google's their kind of key.
    """
    if incoming.header("anthropic-version") is not None:
        return MESSAGES
    if incoming.header("x-goog-api-key") is not None or "key" in parse_qs(incoming.query):
        return GEMINI
    return CHAT


def check_method(route: Route, incoming: Incoming) -> None:
    """Refuse a path that nobody knows, and a method that it does not have.

    Raises:
        Problem: It is one of these.
    """
    if not route.is_known:
        raise Problem(404, f"Not found: {incoming.path}")
    if incoming.method != route.method:
        shown = f"Method {incoming.method} is not allowed; use {route.method}."
        raise Problem(405, shown)


def key_of(incoming: Incoming) -> str | None:
    """Return the key that a request brings, wherever its client puts it."""
    for name in ("x-api-key", "x-goog-api-key", "api-key"):
        key = incoming.header(name)
        if key is not None:
            return key
    scheme, _, token = (incoming.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if scheme == SCHEME:
        return access_key_in(token)
    given = parse_qs(incoming.query).get("key") if "key=" in incoming.query else None
    return given[0] if given else None
