"""What the official SDKs ask of Responses, embeddings and Gemini, each as a function of a place and a key."""

from __future__ import annotations

import asyncio
from typing import Any

from google import genai
from google.genai import types
from openai import AsyncOpenAI, OpenAI

SCHEMA: Any = {"type": "object", "properties": {}}
RESPONSES_TOOLS: Any = [
    {"type": "function", "name": "web_search", "parameters": SCHEMA, "strict": False}
]
GEMINI_TOOLS: Any = [
    {"function_declarations": [{"name": "web_search", "parameters_json_schema": SCHEMA}]}
]
GEMINI_MODEL = "gemini-3.5-flash"


def responses_fields(text: str) -> dict[str, Any]:
    return {
        "model": "gpt-5.5",
        "max_output_tokens": 500,
        "input": [{"role": "user", "content": text}],
        "tools": RESPONSES_TOOLS,
        "store": False,
    }


def gemini_fields(text: str) -> dict[str, Any]:
    config = types.GenerateContentConfig(
        max_output_tokens=500,
        tools=GEMINI_TOOLS,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    return {"model": GEMINI_MODEL, "contents": text, "config": config}


def openai_client(url: str, key: str) -> Any:
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def async_openai_client(url: str, key: str) -> Any:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def gemini_client(url: str, key: str) -> Any:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))


def shown(reply: Any) -> Any:
    """A reply of google-genai without the HTTP response that it keeps."""
    return reply.model_dump(exclude={"sdk_http_response"})


def ask_responses(url: str, key: str, text: str) -> Any:
    with openai_client(url, key) as client:
        return client.responses.create(**responses_fields(text)).model_dump()


def stream_responses(url: str, key: str, text: str) -> Any:
    with (
        openai_client(url, key) as client,
        client.responses.create(**responses_fields(text), stream=True) as stream,
    ):
        return [event.model_dump() for event in stream]


def ask_responses_async(url: str, key: str, text: str) -> Any:
    async def ask() -> Any:
        async with async_openai_client(url, key) as client:
            reply = await client.responses.create(**responses_fields(text))
            async with await client.responses.create(
                **responses_fields(text), stream=True
            ) as stream:
                return reply.model_dump(), [event.model_dump() async for event in stream]

    return list(asyncio.run(ask()))


def embed(url: str, key: str, text: str) -> Any:
    with openai_client(url, key) as client:
        embeddings = client.embeddings
        one = embeddings.create(model="text-embedding-3-small", input=text, dimensions=8)
        two = embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3], [4]])
        return [one.model_dump(), two.model_dump()]


def embed_async(url: str, key: str, text: str) -> Any:
    async def ask() -> Any:
        async with async_openai_client(url, key) as client:
            reply = await client.embeddings.create(
                model="text-embedding-3-small", input=[text, "more"], encoding_format="float"
            )
            return reply.model_dump()

    return asyncio.run(ask())


def ask_gemini(url: str, key: str, text: str) -> Any:
    with gemini_client(url, key) as client:
        return shown(client.models.generate_content(**gemini_fields(text)))


def stream_gemini(url: str, key: str, text: str) -> Any:
    with gemini_client(url, key) as client:
        stream = client.models.generate_content_stream(**gemini_fields(text))
        return [shown(chunk) for chunk in stream]


def ask_gemini_async(url: str, key: str, text: str) -> Any:
    async def ask() -> Any:
        async with gemini_client(url, key).aio as client:
            reply = await client.models.generate_content(**gemini_fields(text))
            stream = await client.models.generate_content_stream(**gemini_fields(text))
            return shown(reply), [shown(chunk) async for chunk in stream]

    return list(asyncio.run(ask()))


MORE_WAYS = [
    ask_responses,
    stream_responses,
    ask_responses_async,
    embed,
    embed_async,
    ask_gemini,
    stream_gemini,
    ask_gemini_async,
]
