"""What is held for typical requests of agents, against what they cost, and when that refuses a call.

The tokens are those of OpenAI's o200k vocabulary, for models of Anthropic too, whose tokenizer is
not published. What a reply has is an assumption, which the table names.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any, Final

import msgspec

from callgate.call import Candidate, Usage
from callgate.errors import OverBudget
from callgate.money import NANO_PER_DOLLAR, Money
from callgate.pipeline.bounding import LEAST_OUTPUT_TOKENS
from callgate.pricing import Price
from callgate.pricing.bound import (
    Images,
    cache_writes_of,
    hidden_tokens,
    input_bound_tokens,
    make_bill,
    window_tokens,
)
from callgate.pricing.counting import O200K, Count, Tokenizers
from callgate.pricing.images import image_tokens
from callgate.pricing.table import PriceTable
from callgate.store import Bill
from callgate.store.reservation import Budget, Level, reserve
from callgate.wire import Request
from callgate.wire.openai_chat import OpenAIChat, readable_text

ROOT: Final = Path(__file__).parent.parent
NOW: Final = 1_795_564_800.0
"""2026-11-25, seconds since 1970."""

BUDGET: Final = Money.dollars("0.50")
"""What the task of an agent may cost, as in the settings that ``callgate init`` writes."""

DEFAULT_OUTPUT_TOKENS: Final = 8_192
MOST_CALLS: Final = 10_000

MODELS: Final = (
    Candidate(provider="openai", model="gpt-5.5"),
    Candidate(provider="anthropic", model="claude-sonnet-5"),
    Candidate(provider="openai", model="gpt-5.4-mini"),
)

SHOWN_IMAGE_TOKENS: Final = 1_100
"""What a page of 1,024 by 768 pixels costs, as a rule."""

CHINESE: Final = (
    "请根据下面的订单信息给客户写一封道歉邮件。说明延误的原因并给出新的送达日期。",
    "仓库在星期三发现包裹的标签无法扫描。所以我们重新打印了标签并换了一家快递公司。",
    "如果客户愿意等待我们可以退还运费。如果不愿意请告诉他如何取消订单并得到全额退款。",
    "语气要礼貌。不要超过两百字。也不要承诺我们做不到的事情。",
)


PAGE_PNG: Final = b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (1_024).to_bytes(4) + (768).to_bytes(4)
).decode()
"""How a picture of a page begins."""


class Typical(msgspec.Struct, frozen=True, kw_only=True):
    """One request as agents make it."""

    what: str
    body: bytes
    output_tokens: int
    """What its reply has, as a rule."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What one bound leads to."""

    input_tokens: int
    reserved: Money
    in_turn: int
    """How many such calls a task makes one after the other, until one is refused or cut short."""
    share_spent: float
    """The share of its budget that is spent by then; 1 is a refusal that nobody can call false."""
    at_once: int
    """How many run at once, each with room for its whole reply."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One request at one model."""

    what: str
    model: str
    size_bytes: int
    tokens: int
    cost: Money
    proven: Held
    counted: Held

    @property
    def ratio(self) -> float:
        """How many times its cost is held."""
        return self.proven.reserved.nano / self.cost.nano


def measure() -> Sequence[Line]:
    """Bound every request for every model."""
    table = PriceTable({})
    with tempfile.TemporaryDirectory() as folder:
        put_vocabulary(Path(folder))
        tokenizers = Tokenizers(Path(folder))
        return [
            _line(typical, candidate, table, tokenizers)
            for typical in typical_requests()
            for candidate in MODELS
        ]


def put_vocabulary(folder: Path) -> None:
    """Write the vocabulary that a package ships where a tokenizer looks for it."""
    (packed,) = (
        each for each in files("bpe-openai") or () if each.name == "o200k_base.tiktoken.gz"
    )
    (folder / O200K.file).write_bytes(gzip.decompress(Path(str(packed.locate())).read_bytes()))


def typical_requests() -> Sequence[Typical]:
    """Return what agents of several kinds send."""
    question = _user("What is the difference between a budget and a cap, and which comes first?")
    chat = _chat(20)
    return [
        _typical("one question", [question], output_tokens=300),
        _typical("a chat of 20 turns", chat, output_tokens=300),
        _typical("the same with ten tools", chat, output_tokens=150, tools=TOOLS),
        _typical("a coding agent, 40 tool results", _coding(40), output_tokens=400, tools=TOOLS),
        _typical("a browsing agent, 3 images", _browsing(3), output_tokens=200, tools=TOOLS),
        _typical("an answer from 20 KB of text", [_user(_text(20_000))], output_tokens=400),
        _typical("a classifier", [question], output_tokens=5, max_completion_tokens=16),
        _typical("a chat in Chinese", _chinese(20), output_tokens=300),
        _typical("400 KB of text", [_user(_text(400_000))], output_tokens=800),
    ]


def _typical(
    what: str, messages: Sequence[Mapping[str, Any]], *, output_tokens: int, **fields: Any
) -> Typical:
    request = {"model": "m", "messages": messages, **fields}
    body = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
    return Typical(what=what, body=body, output_tokens=output_tokens)


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _chat(turns: int) -> list[dict[str, Any]]:
    texts = [_text(100_000)[at * 900 : at * 900 + 100 + at % 4 * 200] for at in range(2 * turns)]
    roles = ["user", "assistant"] * turns
    said = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
    return [
        {"role": "system", "content": _text(2_000)},
        *said,
        _user("And what follows from that?"),
    ]


def _chinese(turns: int) -> list[dict[str, Any]]:
    roles = ["user", "assistant"] * turns
    return [
        {"role": role, "content": CHINESE[at % 4] + CHINESE[(at + 1) % 4]}
        for at, role in enumerate(roles)
    ]


def _coding(results: int) -> list[dict[str, Any]]:
    code = _code(results * 3_500)
    messages = [{"role": "system", "content": _text(3_000)}, _user("Find out why the test fails.")]
    for at in range(results):
        messages += _used("read_page", {"url": f"file:///src/module_{at}.py"}, at)
        messages[-1]["content"] = code[at * 3_500 : (at + 1) * 3_500]
    return messages


def _browsing(images: int) -> list[dict[str, Any]]:
    messages = [{"role": "system", "content": _text(3_000)}, _user("Book the cheapest room.")]
    for at in range(images):
        messages += _used("read_page", {"url": f"https://example.com/rooms/{at}"}, at)
        messages[-1]["content"] = _text(60_000)[at * 7_000 : (at + 1) * 7_000]
        url = {"url": "data:image/png;base64," + PAGE_PNG + "A" * 240_000}
        shown = [{"type": "text", "text": "The page:"}, {"type": "image_url", "image_url": url}]
        messages.append({"role": "user", "content": shown})
    return messages


def _used(tool: str, arguments: Mapping[str, str], at: int) -> list[dict[str, Any]]:
    function = {"name": tool, "arguments": json.dumps(arguments)}
    calls = [{"id": f"call_{at:08d}", "type": "function", "function": function}]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": f"call_{at:08d}", "content": ""},
    ]


def _tool(name: str, description: str, **parameters: str) -> dict[str, Any]:
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


TOOLS: Final = [
    _tool(f"{name}{n}", description, **parameters)
    for n in ("", "_again")
    for name, description, parameters in (
        ("web_search", "Search the web; return ten results with title, address and an excerpt.",
         {"query": "What to search for", "language": "Two letters"}),
        ("read_page", "Fetch a page and return its text as Markdown, at most 20,000 characters.",
         {"url": "The address of the page"}),
        ("create_ticket", "Create a ticket. Use it only when the customer has asked for one.",
         {"title": "A short title", "body": "What happened", "priority": "low, normal or high"}),
        ("look_up_order", "Look up an order and return its lines, state and payments.",
         {"order_id": "The number of the order, such as A-10293"}),
        ("send_mail", "Send an e-mail to the customer from the address of the support team.",
         {"to": "The address", "subject": "The subject", "text": "Plain text"}),
    )
]  # fmt: skip


@cache
def _prose() -> str:
    return "\n\n".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))


@cache
def _program() -> str:
    return "\n\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.py")))


def _text(characters: int) -> str:
    """Return prose of this project's pages, and its code where there are too few."""
    return (_prose() + _program())[:characters]


def _code(characters: int) -> str:
    return _program()[:characters]


def _line(
    typical: Typical, candidate: Candidate, table: PriceTable, tokenizers: Tokenizers
) -> Line:
    price = table.find(candidate.provider, candidate, at=NOW)
    assert price is not None
    request = OpenAIChat().parse(typical.body)
    shown = image_tokens(candidate.provider, candidate.model, request.image_sizes)
    assert shown is not None
    images = Images(count=len(request.image_sizes), size_bytes=request.image_bytes, tokens=shown)
    counted = tokenizers.count(readable_text(request), O200K)
    assert isinstance(counted, int)
    tokens = counted + len(request.image_sizes) * SHOWN_IMAGE_TOKENS
    cost = price.cost(Usage(input_tokens=tokens, output_tokens=typical.output_tokens))
    by_bytes = input_bound_tokens(
        typical.body, parts=request.messages, has_tools=request.has_tools, images=images
    )
    count = Count(tokens=counted, by="o200k_base", beside_tokens=_beside(request, images))

    def held(input_tokens: int) -> Held:
        bill = _bill(typical, request, price, candidate, input_tokens)
        return _held(bill, input_tokens, cost, typical.output_tokens)

    return Line(
        what=typical.what,
        model=candidate.model,
        size_bytes=len(typical.body),
        tokens=tokens,
        cost=cost,
        proven=held(min(by_bytes, window_tokens(price) or by_bytes)),
        counted=held(min(by_bytes, count.bound_tokens)),
    )


def _beside(request: Request, images: Images) -> int:
    return hidden_tokens(request.messages, has_tools=request.has_tools, images=images)


def _bill(
    typical: Typical, request: Request, price: Price, candidate: Candidate, input_tokens: int
) -> Bill:
    wanted = request.output_limit
    return make_bill(
        price.may_hold(None),
        input_tokens=input_tokens,
        cache_writes=cache_writes_of(typical.body, api=candidate.provider),
        output_tokens=wanted or DEFAULT_OUTPUT_TOKENS,
        least_output_tokens=wanted or LEAST_OUTPUT_TOKENS,
        choices=1,
    )


def _held(bill: Bill, input_tokens: int, cost: Money, reply_tokens: int) -> Held:
    in_turn = _calls(bill, reply_tokens, spent_each=cost)
    return Held(
        input_tokens=input_tokens,
        reserved=Money(-(-bill.femto(bill.output_tokens) // 1_000_000)),
        in_turn=in_turn,
        share_spent=in_turn * cost.nano / BUDGET.nano,
        at_once=_calls(bill, reply_tokens, spent_each=None),
    )


def _calls(bill: Bill, reply_tokens: int, *, spent_each: Money | None) -> int:
    """Count the calls that are admitted with room for a whole reply, up to the first that is not.

    Args:
        bill: Of each of them.
        reply_tokens: What a whole reply has.
        spent_each: What is spent when one ends before the next begins; None lets all of them run.
    """
    spent = held = 0
    for calls in range(MOST_CALLS):
        try:
            grant = reserve(bill, [Level(BUDGET.nano, spent, held, _budget)], candidate=MODELS[0])
        except OverBudget:
            return calls
        assert grant.reserved is not None
        assert grant.output_tokens is not None
        if grant.output_tokens < reply_tokens:
            return calls
        if spent_each is None:
            held += grant.reserved.nano
        else:
            spent += spent_each.nano
    return MOST_CALLS


def _budget() -> Budget:
    return Budget(rule="tasks.t.budget", what="task t", scope="task:t", cap=BUDGET.nano, fix="")


COLUMNS: Final = (
    "request", "model", "bytes", "bound", "tokens", "held", "costs", "ratio", "in turn", "at once",
    "counted: in turn", "at once",
)  # fmt: skip

EXPLAINED: Final = f"""\
What typical requests hold under a budget, against what they cost. The bound is that of their input in
tokens; beside it stands what it has by OpenAI's `o200k_base` (for Claude too, whose tokenizer is not
published; {SHOWN_IMAGE_TOKENS:,} tokens for an image). A request that names no limit holds
{DEFAULT_OUTPUT_TOKENS:,} tokens of output, and is taken to get 300, an agent's step 150 to 400, a long text 800.

*In turn* is how many such calls a task of {BUDGET} makes one after the other until one is refused or has
no room for its reply, and how much of its budget is spent by then: below 100 % that is a false refusal.
*At once* is how many run together. *Counted* is the same with [counts](money.md#counts).
"""


def cells(line: Line) -> Sequence[str]:
    """Return a line of the table."""
    return (
        line.what,
        line.model,
        f"{line.size_bytes:,}",
        f"{line.proven.input_tokens:,}",
        f"{line.tokens:,}",
        _dollars(line.proven.reserved),
        _dollars(line.cost),
        f"{line.ratio:.1f}",
        *_calls_cells(line.proven),
        *_calls_cells(line.counted),
    )


def _calls_cells(held: Held) -> Sequence[str]:
    return (f"{held.in_turn:,} ({held.share_spent:.0%})", f"{held.at_once:,}")


def _dollars(money: Money) -> str:
    return f"${money.nano / NANO_PER_DOLLAR:.4f}"


def main() -> None:
    """Print the table."""
    rows = [COLUMNS, *map(cells, measure())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


if __name__ == "__main__":
    main()
