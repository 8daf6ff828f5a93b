"""A research agent on the official OpenAI SDK: it looks two things up at once, then sums up."""

import asyncio
import json

from openai import AsyncOpenAI

MODEL = "gpt-5.5"

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "web_search",
            "description": "Search the web.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
            },
        },
    }
]


def web_search(query: str) -> str:
    """Stand for a search engine."""
    return f"Three good pages about {query}."


async def main() -> None:
    client = AsyncOpenAI()
    messages = [{"role": "user", "content": "Compare the harbours of Hamburg and Rotterdam."}]
    while True:
        reply = await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
        message = reply.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            query = json.loads(call.function.arguments)["query"]
            print(f"  searching: {query}")
            messages.append({"role": "tool", "tool_call_id": call.id, "content": web_search(query)})

    messages.append({"role": "user", "content": "Now in three sentences."})
    stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    print("  ", end="")
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
    print()


asyncio.run(main())
