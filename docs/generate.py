"""Writes the pages of docs/ that the code itself can tell; `--check` only says which are stale."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from callgate import errors
from callgate.config import json_schema

DOCS = Path(__file__).parent
LIMITS = "limits"
"""The section whose keys others have too."""
NOTE = "<!-- Written by `make docs` from {source}; change it there. -->"


NARROWER = {
    "begun_elsewhere": "The candidate would refuse to go on with a tool loop that a stand-in has begun.",
    "client_timeout": "The client would have given up before the reply began.",
    "condition_not_met": "A condition of the settings (`when`) is not true of this call, or nobody can say; `limit` is the condition, `used` what was found.",
    "duplicate_key": "A key stands twice in the request, so that nobody knows which holds.",
    "foreign_host": "The request names a host, or comes from a web page, that is not the gate.",
    "gone_on": "An effect that was looked up has gone on since.",
    "id_length": "The id of a task, a user or a parent is too long, or empty.",
    "internal": "A mistake of the gate's own; its log has the call.",
    "kept_elsewhere": "The earlier response that is named is kept by another provider.",
    "max_depth": "More tasks stand above this one than may.",
    "meaning_lost": "In the format of whoever is left to answer the request would lose something; `allow_loss` allows it.",
    "model_denied": "The settings do not let this agent use the model, or its task is narrowed to others.",
    "no_credentials": "AWS's chain of credentials holds none.",
    "no_such_tool": "The platform has no tool of that name any more.",
    "not_json": "A tool was to answer with JSON, and answered with something else.",
    "not_next": "A repetition is asked for, and it is not the next one.",
    "other_format": "Nobody who serves the model takes a request of this format, and none translates it.",
    "other_region": "Nobody who serves the model is in a region that the task type names.",
    "parent_mismatch": "The parent task belongs to another agent or user.",
    "repeat_range": "`Callgate-Repeat` is no number that makes sense.",
    "retries_used_up": "The client's library has sent the call again more often than its task may try.",
    "still_at_work": "An earlier call of the same kind is not over yet: its gate died, and its result is still to come.",
    "task_key": "A key of one task cannot do this.",
    "task_mismatch": "What the request says of its task differs from its key, or from the stored task.",
    "task_required": "`require_task` is set, and the request names no task.",
    "tool_unavailable": "The settings name the tool, and whoever has it could not be asked what it takes and costs.",
    "unable": "Nobody who serves the model can do what the request asks for, as the settings say.",
    "unknown_agent": "The settings no longer name the key's agent.",
    "unknown_effect": "There is no such effect.",
    "unknown_model": "There is no such model.",
    "unknown_path": "There is nothing at this address.",
    "unknown_response": "This gate has not made the earlier response that is named, or not for this agent and user.",
    "tool_denied": "The settings do not let this agent call the tool, or its task is narrowed to others.",
    "tool_new": "A server or a platform lists a tool that nobody has accepted, so it is not called.",
    "tool_timeout": "The tool had not answered when its time was over.",
    "unknown_tool": "There is no such tool now.",
    "unknown_server": "The agent may call no tool of an MCP server of that name.",
    "unknown_task": "There is no such task.",
    "unknown_task_type": "The settings name no such task type.",
    "unreasonable_bill": "The request could cost more than any account holds.",
    "user_required": "`require_user` is set, and the request names no user.",
    "wrong_field": "A field is missing or of the wrong type.",
}
"""The codes that are narrower than their class, and what each means."""


def errors_page() -> str:
    """Return the reference of every error, sorted as the tree is."""
    lines = [
        "# Errors",
        "",
        NOTE.format(source="src/callgate/errors.py"),
        "",
        "A **Refused** call has not left the gate and has cost nothing. A **Failed** call was sent to a",
        "provider; whether it may have been billed is known and decides what is booked. The code is what",
        "a program looks at: it stands in the `callgate` object of an HTTP error, in the audit log and in",
        "the receipt, and never changes its meaning. A refusal may give a narrower one than its class.",
        "",
        "| error | code | HTTP | what happened |",
        "|---|---|---|---|",
    ]
    lines += [error_row(error, depth) for error, depth in error_tree(errors.CallgateError, 0)]
    lines += ["", "## Narrower codes", "", "| code | what happened |", "|---|---|"]
    lines += [f"| `{code}` | {means} |" for code, means in NARROWER.items()]
    return "\n".join(lines) + "\n"


def error_tree(
    error: type[errors.CallgateError], depth: int
) -> Iterator[tuple[type[errors.CallgateError], int]]:
    """Yield an error and those below it, each with its depth, in the order of the module."""
    yield error, depth
    for below in error.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from error_tree(below, depth + 1)


def error_row(error: type[errors.CallgateError], depth: int) -> str:
    """Return one row of the table."""
    summary = " ".join((inspect.getdoc(error) or "").partition("\n\n")[0].split())
    name = f"{'&emsp;' * depth}`{error.__name__}`"
    return f"| {name} | `{error.code}` | {error.status} | {summary.replace('``', '`')} |"


def settings_page() -> str:
    """Return the reference of every line that ``callgate.toml`` may have."""
    schema: dict[str, Any] = dict(json_schema())
    lines = [
        "# Settings",
        "",
        NOTE.format(source="src/callgate/config"),
        "",
        "`callgate init` writes a commented `callgate.toml` to start from; commands find it in the current",
        "folder or above, or where `--config` says. A file is checked whole when it is loaded: every",
        "mistake is reported with its line, what was found and what is allowed. `callgate config schema`",
        "prints the same as JSON schema, for editors.",
        "",
        'A **length of time** is written like `"30s"`, `"10m"`, `"2h"`, `"1h30m"` or as a number of seconds,',
        'a **size** like `"32MB"` or as a number of bytes, an **amount of money** like `"$0.50"`, a **price** like',
        '`"$1.25"` (US dollars for a million tokens). A **reference** says where a secret is: `"env:NAME"` is an',
        'environment variable, `"file:PATH"` a file, relative to the settings.',
    ]
    for name, part in schema["properties"].items():
        lines += ["", *section(schema, name, resolved(schema, part))]
    return "\n".join(lines) + "\n"


def section(schema: dict[str, Any], name: str, part: dict[str, Any]) -> Iterator[str]:
    """Yield the lines about one table of the settings."""
    entry = part if "properties" in part else resolved(schema, named_table(part))
    heading = name if entry is part else f"{name}.NAME"
    yield f"## `[{heading}]`"
    yield ""
    yield sentence(part) or sentence(entry)
    properties: dict[str, Any] = entry["properties"]
    shared: dict[str, Any] = resolved(schema, schema["properties"][LIMITS])["properties"]
    own = properties if name == LIMITS else {k: v for k, v in properties.items() if k not in shared}
    if own:
        yield from ("", "| key | value | default | meaning |", "|---|---|---|---|")
    required = entry.get("required", [])
    for key, value in own.items():
        default = "required" if key in required else default_of(value)
        yield f"| `{key}` | {kind(schema, value)} | {default} | {sentence(value)} |"
    if len(own) < len(properties):
        said = "Limits of its own may stand here too:" if own else "Here stand"
        yield from ("", f"{said} the keys of [`[{LIMITS}]`](#{LIMITS}).")
    for key, value in own.items():
        inner = tables_in(schema, value)
        if inner is not None:
            yield from ("", *section(schema, f"{heading}.{key}", inner))


def tables_in(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any] | None:
    """Return a setting that is a table with settings of its own, or holds such by name."""
    choices = [resolved(schema, one) for one in part.get("anyOf", [part])]
    for choice in choices:
        named = resolved(schema, named_table(choice)) if "patternProperties" in choice else choice
        if named.get("properties"):
            return choice
    return None


def named_table(part: dict[str, Any]) -> dict[str, Any]:
    """Return what each table of a section with names is."""
    named: dict[str, Any] = part.get("additionalProperties") or part["patternProperties"]
    if "$ref" not in named:
        (named,) = named.values()
    return named


def resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return ``part``, or what it refers to with its own words added."""
    reference = part.get("$ref")
    if reference is None:
        return part
    target: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return {**target, **{key: value for key, value in part.items() if key != "$ref"}}


def kind(schema: dict[str, Any], part: dict[str, Any]) -> str:
    """Return what may stand as a value, in a few words."""
    part = resolved(schema, part)
    if "x-kind" in part:
        return str(part["x-kind"])
    if "anyOf" in part:
        kinds = (kind(schema, one) for one in part["anyOf"] if one.get("type") != "null")
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in part:
        return ", ".join(f"`{literal(value)}`" for value in part["enum"])
    if part.get("type") == "array":
        return f"list of {kind(schema, part.get('items', {}))}"
    plain = str(part.get("type", "anything"))
    return {
        "integer": "whole number",
        "boolean": "`true`, `false`",
        "string": "text",
        "object": "table",
    }.get(plain, plain)


def default_of(part: dict[str, Any]) -> str:
    """Return the default as it would be written, ``none`` where there is none."""
    value: object = part.get("default")
    if part.get("x-kind") == "length of time":
        return f'`"{value:g}s"`'
    if part.get("x-kind") == "size":
        return f"`{value:,}` bytes"
    return "none" if value is None else f"`{literal(value)}`"


def literal(value: object) -> str:
    """Return a value as TOML writes it; JSON and TOML agree on these."""
    return json.dumps(value, ensure_ascii=False)


def sentence(part: dict[str, Any]) -> str:
    """Return what the schema says about a part, on one line and safe in a table."""
    return " ".join(str(part.get("description", "")).split()).replace("``", "`").replace("|", "\\|")


PAGES: Mapping[str, Callable[[], str]] = {"errors.md": errors_page, "settings.md": settings_page}


def main() -> int:
    """Write every page that differs from what is there; return the exit status."""
    stale = {name: text for name, make in PAGES.items() if (text := make()) != current(name)}
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/{name} is stale: run `make docs`")
        return 1 if stale else 0
    for name, text in stale.items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name} written")
    return 0


def current(name: str) -> str:
    """Return the page as it stands, empty if there is none."""
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
