"""A request that wants JSON of a schema gets it, also where no script says what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import Enum
from typing import Annotated, Any, Literal

import openai
import pydantic
import pytest
from google import genai
from google.genai import types
from pydantic import Field

from callgate.testing.simulator import Simulator
from callgate.testing.simulator.made_up import MadeUp
from tests.unit.testing.raw_client import KEY, ask

WORDS = ("river", "stone", "harbour")


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Stop(pydantic.BaseModel):
    name: Annotated[str, Field(min_length=12, max_length=20)]
    minutes: Annotated[int, Field(ge=5, le=7)]


class Trip(pydantic.BaseModel):
    kind: Literal["trip"]
    mood: Mood
    stops: Annotated[list[Stop], Field(min_length=2)]
    note: str | None
    cheap: bool


class Tree(pydantic.BaseModel):
    name: str
    branches: list[Tree]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.mark.parametrize("model", [Trip, Tree, Stop])
@pytest.mark.parametrize("draw", [bytes(range(32)), bytes(range(100, 132))])
def test_a_made_up_value_is_one_of_its_model(model: type[pydantic.BaseModel], draw: bytes) -> None:
    value = MadeUp(model.model_json_schema(), draw, WORDS).value()
    assert model.model_validate(value) is not None


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 3}, 3),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "array", "maxItems": 0}, []),
        ({"type": "array", "minItems": "2", "items": {"type": "NULL"}}, [None, None]),
        ({"type": "object"}, {}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"const": 1}}}, 1),
        ({"anyOf": [{"type": "null"}, {"const": 2}]}, 2),
        ({"type": "number", "minimum": 9.5, "maximum": 9}, 9),
    ],
)
def test_every_part_of_a_schema_is_kept(schema: dict[str, Any], expected: object) -> None:
    assert MadeUp(schema, bytes(range(32)), WORDS).value() == expected


async def test_the_openai_sdk_parses_both_formats(sim: Simulator) -> None:
    async with openai.AsyncOpenAI(base_url=sim.openai_url, api_key=KEY, max_retries=0) as client:
        chat = await client.chat.completions.parse(
            model="gpt-5.5", messages=[{"role": "user", "content": "x"}], response_format=Trip
        )
        reply = await client.responses.parse(model="gpt-5.5", input="x", text_format=Trip)
    assert isinstance(chat.choices[0].message.parsed, Trip)
    assert isinstance(reply.output_parsed, Trip)


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")
async def test_the_google_sdk_parses_its_own_schema(sim: Simulator) -> None:
    options = types.HttpOptions(base_url=sim.gemini_url)
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Stop
    )
    async with genai.Client(api_key=KEY, http_options=options).aio as client:
        models: Any = client.models
        reply = await models.generate_content(model="gemini-3.5-flash", contents="x", config=config)
    assert isinstance(reply.parsed, Stop)


async def test_anthropic_answers_in_json_too(sim: Simulator) -> None:
    format = {"type": "json_schema", "schema": Stop.model_json_schema()}
    answered = await ask(sim, "anthropic", output_config={"format": format})
    said = Stop.model_validate_json(answered.json()["content"][0]["text"])
    assert 5 <= said.minutes <= 7


async def test_a_script_goes_before_the_schema(sim: Simulator) -> None:
    sim.play({"rules": [{"steps": [{"answer": {"text": "no JSON"}}]}]})
    answered = await ask(sim, "openai", response_format={"type": "json_object"})
    assert answered.json()["choices"][0]["message"]["content"] == "no JSON"
