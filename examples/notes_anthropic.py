"""A note-taking agent on the official Anthropic SDK: it files a note with a tool, then reports."""

from anthropic import Anthropic

MODEL = "claude-sonnet-5"

TOOLS = [
    {
        "name": "file_note",
        "description": "File a note under a heading.",
        "input_schema": {
            "type": "object",
            "properties": {"heading": {"type": "string"}, "text": {"type": "string"}},
            "required": ["heading", "text"],
        },
    }
]


def main() -> None:
    client = Anthropic()
    messages = [{"role": "user", "content": "File what we agreed on about the release."}]
    reply = client.messages.create(model=MODEL, max_tokens=1_000, messages=messages, tools=TOOLS)
    while reply.stop_reason == "tool_use":
        results = []
        for part in reply.content:
            if part.type == "tool_use":
                print(f"  filing: {part.input.get('heading')}")
                results.append({"type": "tool_result", "tool_use_id": part.id, "content": "filed"})
        messages += [
            {"role": "assistant", "content": [part.model_dump() for part in reply.content]},
            {"role": "user", "content": results},
        ]
        reply = client.messages.create(
            model=MODEL, max_tokens=1_000, messages=messages, tools=TOOLS
        )

    messages += [
        {"role": "assistant", "content": [part.model_dump() for part in reply.content]},
        {"role": "user", "content": "Read it back to me."},
    ]
    print("  ", end="")
    with client.messages.stream(model=MODEL, max_tokens=1_000, messages=messages) as stream:
        for text in stream.text_stream:
            print(text, end="", flush=True)
    print()


main()
