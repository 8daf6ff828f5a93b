"""Counting an input as its provider would: by its tokenizer, or by asking it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from callgate.call import Candidate, Headers
from callgate.clock import Clock
from callgate.config.policies import Settings
from callgate.errors import CallgateError
from callgate.pricing.bound import Images, hidden_tokens
from callgate.pricing.counting import FOLDER, Count, Tokenizers, Uncounted
from callgate.pricing.images import image_tokens
from callgate.providers import Outgoing, Provider
from callgate.secrets import Secrets
from callgate.wire import Request
from callgate.wire.anthropic_messages import AnthropicMessages, CountTokens, uncountable
from callgate.wire.openai_chat import OpenAIChat, readable_text

ANSWER_SECONDS: Final = 2.0
"""How long a call waits for a count. A provider takes a fraction of a second for one."""

COUNT: Final = CountTokens()

log = logging.getLogger("callgate")


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """Counts inputs. A count is no attempt: it costs nothing, and nothing is written of it."""

    settings: Settings
    providers: Mapping[str, Provider]
    secrets: Secrets
    clock: Clock
    tokenizers: Tokenizers | None
    """None where no task type takes a count."""

    async def __call__(
        self, format: str, request: Request, headers: Headers, candidate: Candidate
    ) -> Count | Uncounted:
        """Return what an input has for the candidate that would serve it."""
        if format == AnthropicMessages.name:
            why = uncountable(request)
            return await self._asked(request, headers, candidate) if why is None else Uncounted(why)
        if format == OpenAIChat.name:
            return await self._tokenized(request, candidate)
        return Uncounted(f"nobody counts requests in the format {format}")

    async def _asked(
        self, request: Request, headers: Headers, candidate: Candidate
    ) -> Count | Uncounted:
        """Ask the provider, with the key and over the connections that the attempt will have."""
        asking = asyncio.ensure_future(self._ask(request, headers, candidate))
        waiting = asyncio.ensure_future(self.clock.sleep(ANSWER_SECONDS))
        try:
            await asyncio.wait((asking, waiting), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return Uncounted(f"{candidate.provider} sent none within {ANSWER_SECONDS:g} s")
            return asking.result()
        except CallgateError as error:
            return Uncounted(f"{candidate.provider} sent none: {error.message}")
        finally:
            asking.cancel()
            waiting.cancel()

    async def _ask(
        self, request: Request, headers: Headers, candidate: Candidate
    ) -> Count | Uncounted:
        reference = self.settings.providers[candidate.provider].key
        outgoing = Outgoing(
            format=COUNT,
            request=request,
            model=candidate.model,
            body=COUNT.asking(request, model=candidate.model),
            headers=headers,
            credential=None if reference is None else self.secrets.resolve(reference),
        )
        async with self.providers[candidate.provider].open(outgoing) as reply:
            tokens = reply.meter.counted_tokens
            if not tokens:
                return Uncounted(f"{candidate.provider} counted nothing")
            return Count(tokens=tokens, by=candidate.provider)

    async def _tokenized(self, request: Request, candidate: Candidate) -> Count | Uncounted:
        source = self.settings.providers[candidate.provider].price_source
        if source != "openai" or self.tokenizers is None:
            return Uncounted(f"there is no tokenizer for models of {candidate.provider}")
        shown = image_tokens(source, candidate.model, request.image_sizes)
        if request.opaque is not None or shown is None:
            return Uncounted(request.opaque or f"an image of {candidate.name} has no known number")
        vocabulary = self.tokenizers.find(candidate.model)
        if isinstance(vocabulary, Uncounted):
            return vocabulary
        # A thread, as a long text takes longer than other calls should wait.
        tokens = await asyncio.to_thread(self.tokenizers.count, readable_text(request), vocabulary)
        if isinstance(tokens, Uncounted):
            return tokens
        images = Images(count=len(request.image_sizes), size_bytes=0, tokens=shown)
        beside = hidden_tokens(request.messages, has_tools=request.has_tools, images=images)
        return Count(tokens=tokens, by=vocabulary.name, beside_tokens=beside)


def find_tokenizers(settings: Settings, environ: Mapping[str, str]) -> Tokenizers | None:
    """Return the tokenizers of this machine, if a task type takes a count; say what that means.

    Args:
        settings: What says which task types do.
        environ: Where the folder of the vocabularies is named.
    """
    counted = [f"tasks.{task.type}" for task in settings.tasks.values() if task.bound == "counted"]
    if not counted:
        return None
    log.warning(
        '%s: bound = "counted": where a proven bound does not fit into a budget, what a call holds '
        "is estimated, and its bill may pass the budget",
        ", ".join(counted),
    )
    folder = environ.get(FOLDER)
    tokenizers = Tokenizers(Path(folder) if folder else None)
    if tokenizers.flaw is not None and any(
        provider.price_source == "openai" for provider in settings.providers.values()
    ):
        log.warning("no request to a model of OpenAI can be counted: %s", tokenizers.flaw)
    return tokenizers
