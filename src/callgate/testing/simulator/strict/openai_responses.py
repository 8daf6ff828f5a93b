"""What the Responses API refuses inside its input; some of it even a lenient simulator does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callgate.testing.simulator.memory import Conversation
from callgate.testing.simulator.request import Asked, Problem, is_array, is_object
from callgate.testing.simulator.strict.openai_chat import LONGEST_CALL_ID, TOOL_NAME

ROLES: Final = ("user", "assistant", "system", "developer")
ITEMS: Final = frozenset(
    {
        "message", "function_call", "function_call_output", "reasoning", "item_reference",
        "compaction", "custom_tool_call", "custom_tool_call_output", "web_search_call",
        "file_search_call", "image_generation_call", "code_interpreter_call", "computer_call",
        "computer_call_output", "local_shell_call", "local_shell_call_output", "shell_call",
        "shell_call_output", "apply_patch_call", "apply_patch_call_output", "mcp_call",
        "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "tool_search_call",
        "tool_search_output", "additional_tools", "program", "program_output",
        "configuration_update",
    }
)  # fmt: skip
"""Source: ``ResponseInputItemParam`` of the openai package 3.57.0."""
INPUT_PARTS: Final = frozenset({"input_text", "input_image", "input_file", "input_audio"})
OUTPUT_PARTS: Final = frozenset({"output_text", "refusal"})

Item = dict[str, object]


def kind_of(item: Item) -> str:
    """Return what an item is; one that names only its role is a message."""
    return str(item.get("type", "message" if "role" in item else ""))


def pair_calls(before: Conversation, items: Sequence[Item]) -> Conversation:
    """Return the conversation with the tool calls and results of ``items`` in it.

    Raises:
        Problem: A result has no call, or a call still has no result.
    """
    calls, waiting = set(before.calls), dict.fromkeys(before.open_calls)
    for item in items:
        name = str(item.get("call_id"))
        if kind_of(item) == "function_call":
            calls.add(name)
            waiting[name] = None
        elif kind_of(item) == "function_call_output":
            if name not in calls:
                shown = f"No tool call found for function call output with call_id {name}."
                raise Problem(400, shown, param="input")
            waiting.pop(name, None)
    if waiting:
        shown = f"No tool output found for function call {next(iter(waiting))}."
        raise Problem(400, shown, param="input")
    return Conversation(text_bytes=before.text_bytes, calls=frozenset(calls))


def refuse_foreign_reasoning(asked: Asked, items: Sequence[Item]) -> None:
    """Refuse encrypted reasoning that this key was never given.

    Raises:
        Problem: There is some.
    """
    for item in items:
        if kind_of(item) != "reasoning":
            continue
        content = item.get("encrypted_content")
        if content is not None and not asked.seals.knows(content, "reasoning"):
            text = str(content)
            shown = (
                f"The encrypted content {text[:4]}...{text[-4:]} could not be verified. Reason: "
                "Encrypted content could not be decrypted or parsed."
            )
            raise Problem(400, shown, code="invalid_encrypted_content")


def refuse_broken_items(asked: Asked, items: Sequence[Item]) -> None:
    """Refuse items and parts that are unknown, stand in the wrong place or lack something.

    Raises:
        Problem: There is one; the first is told.
    """
    for n, item in enumerate(items):
        place, kind = f"input[{n}]", kind_of(item)
        if kind not in ITEMS:
            raise Problem(400, f"Invalid value: '{kind}'.", param=place, code="invalid_value")
        if kind == "message":
            _refuse_message(item, place)
        if kind == "function_call":
            _refuse_call(item, place)
        if kind == "function_call_output":
            _refuse_parts(item.get("output"), f"{place}.output", INPUT_PARTS)
        if kind == "reasoning":
            _refuse_lost(asked, item, place)


def _refuse_message(item: Item, place: str) -> None:
    role = item.get("role")
    if role not in ROLES:
        shown = f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', "
        shown += "'developer', and 'user'."
        raise Problem(400, shown, param=f"{place}.role", code="invalid_value")
    parts = OUTPUT_PARTS if role == "assistant" else INPUT_PARTS
    _refuse_parts(item.get("content"), f"{place}.content", parts)


def _refuse_parts(content: object, place: str, known: frozenset[str]) -> None:
    if isinstance(content, str):
        return
    if not is_array(content):
        shown = f"Invalid type for '{place}': expected one of a string or an array of objects."
        raise Problem(400, shown, param=place, code="invalid_type")
    for n, part in enumerate(content):
        kind = part.get("type") if is_object(part) else None
        if kind not in known:
            listed = ", ".join(f"'{name}'" for name in sorted(known))
            shown = f"Invalid value: '{kind}'. Supported values are: {listed}."
            raise Problem(400, shown, param=f"{place}[{n}]", code="invalid_value")


def _refuse_call(item: Item, place: str) -> None:
    for field in ("call_id", "name", "arguments"):
        if not isinstance(item.get(field), str):
            shown = f"Missing required parameter: '{place}.{field}'."
            raise Problem(400, shown, param=f"{place}.{field}", code="missing_required_parameter")
    if len(str(item["call_id"])) > LONGEST_CALL_ID:
        shown = f"Invalid '{place}.call_id': string too long."
        raise Problem(400, shown, param=f"{place}.call_id", code="string_above_max_length")
    if not TOOL_NAME.match(str(item["name"])):
        shown = f"Invalid '{place}.name': string does not match pattern."
        raise Problem(400, shown, param=f"{place}.name", code="invalid_value")


def _refuse_lost(asked: Asked, item: Item, place: str) -> None:
    name = str(item.get("id"))
    if not is_array(item.get("summary")):
        shown = f"Missing required parameter: '{place}.summary'."
        raise Problem(400, shown, param=f"{place}.summary", code="missing_required_parameter")
    if item.get("encrypted_content") is None and not asked.memory.has_item(asked.key, name):
        shown = (
            f"Item with id '{name}' not found. Items are not persisted when `store` is set to "
            "false. Try again with `store` set to true, or remove this item from your input."
        )
        raise Problem(404, shown, param="input")
