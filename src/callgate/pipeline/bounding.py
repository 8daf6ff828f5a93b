"""The most that an attempt can cost, told from its request and its prices before it leaves."""

from __future__ import annotations

import re

import msgspec

from callgate.call import Candidate, Headers
from callgate.config.policies import Settings
from callgate.errors import OverBudget, Reason, Refused, Unbounded, Unpriced
from callgate.pipeline.stage import Draft, ModelPassage
from callgate.pricing import Price
from callgate.pricing.bound import (
    Images,
    cache_writes_of,
    input_bound_tokens,
    make_bill,
    window_tokens,
)
from callgate.pricing.counting import Count
from callgate.pricing.images import image_tokens
from callgate.pricing.table import unpriced_fix
from callgate.store import Bill
from callgate.wire import Request

LEAST_OUTPUT_TOKENS = 16
"""Below this an inserted output limit is not worth a call.

Source: the least ``max_output_tokens`` that OpenAI's Responses API takes.
"""

WORTH_READING_TOKENS = 1_024
"""Below this most replies are cut, so that a count is worth the time that it takes."""

BYTES_FOR_A_TOKEN = 4
"""What a token takes of a request, as a rule.

Source: docs/decisions/0005: 3.8 to 4.2 bytes for prose, code, Chinese and what agents send.
"""

WIDER_WINDOW = re.compile(r"context-[0-9]")
"""What ``anthropic-beta`` says of a model that takes more than usual.

Source: Anthropic's documentation of ``context-1m-2025-08-07``.
"""

FREE = Bill(input_femto=0, output_femto=0, output_tokens=0, least_output_tokens=0)
"""The bill of a format that costs nothing, such as counting tokens."""


class Bounding(msgspec.Struct, frozen=True, kw_only=True):
    """Makes the bill that is held for an attempt."""

    settings: Settings

    def bill(
        self, passage: ModelPassage, prices: tuple[Price, ...], *, count: Count | None = None
    ) -> Bill | Unpriced | Unbounded:
        """Return the most that the attempt can cost; where nobody knows, why not.

        Only the store knows whether a budget holds; without one the attempt may go all the same.

        Args:
            passage: The call.
            prices: What may hold for it; none where nobody tells.
            count: What its input was counted to have, which then stands in for a proven bound.
        """
        draft, policy, candidate = passage.draft, passage.policy, passage.candidate
        assert draft is not None
        assert policy is not None
        assert candidate is not None
        if not draft.format.costs_output:
            return FREE
        if not prices:
            return self._unpriced(passage, candidate)
        input_tokens = self._input_bound(passage, candidate, prices[0])
        if count is not None:
            input_tokens = min(count.bound_tokens, input_tokens or count.bound_tokens)
        if input_tokens is None:
            return _unbounded(candidate.name, policy.type, self._strange(passage, candidate) or "")
        wanted = draft.request.output_limit
        return make_bill(
            prices,
            input_tokens=input_tokens,
            cache_writes=cache_writes_of(draft.body, api=draft.format.api),
            output_tokens=policy.max_output_tokens if wanted is None else wanted,
            least_output_tokens=least_output_tokens(
                passage, worth_reading=count is None and policy.bound == "counted"
            ),
            choices=draft.request.choices,
        )

    def expected_tokens(self, passage: ModelPassage) -> int:
        """Return how many tokens an attempt may be expected to take; limits of tokens count them.

        That is no bound: a text has fewer tokens than bytes, and a limit that counted every byte
        would leave three quarters of it unused.
        """
        draft, policy, candidate = passage.draft, passage.policy, passage.candidate
        assert draft is not None
        assert policy is not None
        assert candidate is not None
        if not draft.format.costs_output:
            return 0
        request = draft.request
        text_bytes = len(draft.body) - request.image_bytes
        shown = self._image_tokens(request, candidate) or 0
        limit = request.output_limit
        output_tokens = policy.max_output_tokens if limit is None else limit
        input_tokens = text_bytes // BYTES_FOR_A_TOKEN + shown + (draft.beside_tokens or 0)
        return input_tokens + request.choices * output_tokens

    def explained(self, refused: OverBudget, passage: ModelPassage) -> OverBudget:
        """Return a refusal that names the setting by which less would have been held."""
        policy, candidate = passage.policy, passage.candidate
        assert policy is not None
        assert candidate is not None
        strange = self._strange(passage, candidate)
        if strange is None or policy.max_input_tokens is not None:
            return refused
        remedy = f"bound its input by max_input_tokens under [tasks.{policy.type}]"
        msg = (
            f"{refused.message}; all that the model can take is held, as {strange}: {remedy} of "
            "callgate.toml"
        )
        fix = f"{remedy}, or {refused.reason.fix}"
        return OverBudget(msg, reason=msgspec.structs.replace(refused.reason, fix=fix))

    def _input_bound(self, passage: ModelPassage, candidate: Candidate, price: Price) -> int | None:
        """Return the most tokens that the input can have; None where nobody knows."""
        draft, policy = passage.draft, passage.policy
        assert draft is not None
        assert policy is not None
        request = draft.request
        window = self._window(draft, price)
        if self._strange(passage, candidate) is not None:
            return policy.max_input_tokens or window
        by_bytes = input_bound_tokens(
            draft.body,
            parts=request.messages,
            has_tools=request.has_tools,
            images=Images(
                count=len(request.image_sizes),
                size_bytes=request.image_bytes,
                tokens=self._image_tokens(request, candidate) or 0,
            ),
        )
        by_bytes += draft.beside_tokens or 0
        return by_bytes if window is None else min(by_bytes, window)

    def _window(self, draft: Draft, price: Price) -> int | None:
        """Return the most that a model takes of a request's inputs; None where nobody knows."""
        window = None if _widens_window(draft.headers) else window_tokens(price)
        return None if window is None else window * draft.request.inputs

    def _strange(self, passage: ModelPassage, candidate: Candidate) -> str | None:
        """Return what in a request is bounded neither by its bytes nor by what is published."""
        draft = passage.draft
        assert draft is not None
        request = draft.request
        if draft.beside_tokens is None:
            return "nobody knows what the response that it goes on from counts with this model"
        if request.opaque is None and self._image_tokens(request, candidate) is None:
            return f"nobody publishes what an image costs {candidate.name} at the most"
        return request.opaque

    def _image_tokens(self, request: Request, candidate: Candidate) -> int | None:
        source = self.settings.providers[candidate.provider].price_source
        return image_tokens(source, candidate.model, request.image_sizes)

    def _unpriced(self, passage: ModelPassage, candidate: Candidate) -> Unpriced:
        """Return the refusal of a model whose cost no budget could limit."""
        draft, provider = passage.draft, self.settings.providers[candidate.provider]
        assert draft is not None
        fix = unpriced_fix(candidate, api=provider.api)
        tier = draft.request.service_tier
        asked = f" at the service tier {tier!r}" if isinstance(tier, str) else ""
        where = "callgate.toml" if self.settings.path else "callgate.toml (callgate init writes it)"
        msg = (
            f"{candidate.name} has no price{asked}, so its budget could not hold it; "
            f"add to {where}:\n{fix}"
        )
        return Unpriced(msg, reason=Reason(code="unpriced", fix=fix))


def _widens_window(headers: Headers) -> bool:
    """Whether a request asks for a larger context window than its model's price tells."""
    return any(name == "anthropic-beta" and WIDER_WINDOW.search(value) for name, value in headers)


def least_output_tokens(passage: ModelPassage, *, worth_reading: bool) -> int:
    """Return how far the output limit may be lowered: not at all where the request names it.

    Args:
        passage: The call.
        worth_reading: Whether a short reply is left for later, as a count may make a longer fit.
    """
    draft, policy = passage.draft, passage.policy
    assert draft is not None
    assert policy is not None
    if draft.request.output_limit is not None:
        return draft.request.output_limit
    least = WORTH_READING_TOKENS if worth_reading else LEAST_OUTPUT_TOKENS
    return min(least, policy.max_output_tokens)


def may_hold(passage: ModelPassage, price: Price | None) -> tuple[Price, ...]:
    """Return the prices that may hold for a request; none where nobody tells what it costs."""
    draft = passage.draft
    assert draft is not None
    if price is None:
        return ()
    request = draft.request
    if price.text_only and (request.opaque is not None or request.image_sizes):
        return ()
    return price.may_hold(request.service_tier)


def with_level(why: Refused, refused: Unpriced) -> Refused:
    """Return why a cost is unknown, with the budget that must know it."""
    rule, scope = refused.reason.rule, refused.reason.scope
    reason = msgspec.structs.replace(why.reason, rule=why.reason.rule or rule, scope=scope)
    return type(why)(why.message, reason=reason)


def _unbounded(name: str, task_type: str, why: str) -> Unbounded:
    fix = f"set max_input_tokens under [tasks.{task_type}] in callgate.toml"
    msg = f"what {name} may cost cannot be told before it runs: {why}, and its context window is unknown; {fix}"
    rule = f"tasks.{task_type}.max_input_tokens"
    return Unbounded(msg, reason=Reason(code="unbounded", rule=rule, fix=fix))
