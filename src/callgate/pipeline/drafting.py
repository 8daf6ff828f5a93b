"""Drafting: the request in the form in which a candidate would get it, or why it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

import msgspec

from callgate.call import Candidate, ModelCall
from callgate.clock import Clock
from callgate.config.policies import ProviderPolicy, Settings
from callgate.errors import Denied, Reason, Refused
from callgate.pipeline.earlier import beside_tokens, refuse_elsewhere
from callgate.pipeline.fitting import refuse_inability, refuse_region
from callgate.pipeline.stage import Draft, ModelPassage
from callgate.pricing.table import PriceTable
from callgate.wire import Format, Request
from callgate.wire.codec import Client, Codec, Home, Origin, Target, Upstream
from callgate.wire.codec.canonical import Minter, Prompt
from callgate.wire.codec.losses import Loss, grave, lost
from callgate.wire.codec.translate import CODECS, UPSTREAMS
from callgate.wire.codec.way_back import WayBack
from callgate.wire.failures import JSON_HEADERS
from callgate.wire.openai_chat import LIMIT_FIELDS

TIER_FIELD = "service_tier"
SLOW_TIER = "flex"
TIER_API = "openai"
"""Where a request asks for a tier that costs less and takes longer.

Source: OpenAI's guide "Flex processing".
"""

MOST_NAMED = 5
"""Losses that a refusal names with their places; the rest is counted."""


class Drafting(msgspec.Struct, frozen=True, kw_only=True):
    """Puts requests into the formats of those who are to serve them."""

    settings: Settings
    formats: Mapping[str, Format]
    prices: PriceTable
    clock: Clock

    def drafts(self, passage: ModelPassage, candidate: Candidate) -> list[Draft]:
        """Return the forms in which a candidate is asked, one after the other; the usual one last.

        Where nobody waits for the task, a service tier that costs less comes first.

        Raises:
            Refused: There is no form of it that the candidate takes, or none with its meaning.
        """
        refuse_elsewhere(passage, candidate)
        assert passage.policy is not None
        assert passage.request is not None
        provider = self.settings.providers[candidate.provider]
        refuse_region(passage.policy, provider, candidate)
        refuse_inability(passage.call, passage.request, provider, candidate)
        usual = self.draft(passage, candidate)
        if not self._has_slow_tier(passage, candidate, usual):
            return [usual]
        body = usual.request.document.edit({TIER_FIELD: msgspec.json.encode(SLOW_TIER)})
        again = usual.format.parse(body, model=candidate.model, stream=usual.request.stream)
        if usual.request.output_limit is None:
            again = msgspec.structs.replace(again, output_limit=None)
        changes = (*usual.changes, f"{TIER_FIELD}={SLOW_TIER}")
        slow = msgspec.structs.replace(usual, body=body, request=again, changes=changes)
        return [slow, usual]

    def keys(self, passage: ModelPassage, candidate: Candidate) -> tuple[str | None, ...]:
        """Return the keys of a candidate's provider in the order in which they are tried.

        Tasks are spread over them, and each task stays with its own: prompt caches live by key.
        """
        keys = self.settings.providers[candidate.provider].keys
        if len(keys) == 1:
            return keys
        assert passage.task is not None
        first = crc32(passage.task.id.encode()) % len(keys)
        return (*keys[first:], *keys[:first])

    def _has_slow_tier(self, passage: ModelPassage, candidate: Candidate, draft: Draft) -> bool:
        """Whether a request that names no service tier may be served at a cheaper, slower one."""
        assert passage.policy is not None
        if passage.policy.urgency != "background" or draft.format.api != TIER_API:
            return False
        if draft.request.service_tier is not None or not draft.format.costs_output:
            return False
        source = self.settings.providers[candidate.provider].price_source
        price = self.prices.find(source, candidate, at=self.clock.now())
        return price is not None and SLOW_TIER in price.service_tiers

    def draft(self, passage: ModelPassage, candidate: Candidate) -> Draft:
        """Return the request as a candidate would get it.

        Raises:
            Refused: There is no form of it that the candidate takes, or none with its meaning.
        """
        call, request = passage.call, passage.request
        assert request is not None
        provider = self.settings.providers[candidate.provider]
        if call.format in provider.takes:
            self._refuse_begun(passage, candidate)
            return Draft(
                format=self.formats[call.format],
                request=_unasked(request, provider),
                body=call.body,
                headers=call.headers,
                beside_tokens=beside_tokens(passage, candidate),
            )
        target = provider.takes[0]
        if call.format not in CODECS or target not in UPSTREAMS:
            raise _no_counterpart(call, candidate)
        return self._translated(passage, candidate, self.formats[target])

    def _refuse_begun(self, passage: ModelPassage, candidate: Candidate) -> None:
        """Leave what another has begun to the other, where this one would refuse to go on with it.

        Raises:
            Refused: It would; and a candidate of another format may have begun it.
        """
        codec = CODECS.get(passage.call.format)
        if codec is None or codec.refuses is None or not self._has_others(passage):
            return
        why = codec.refuses(passage.call.body)
        if why is not None:
            fix = 'send thinking as {"type": "adaptive"}, or go on with the model that called'
            msg = (
                f"{candidate.name} would refuse to go on with what another has begun: {why}; {fix}"
            )
            raise Denied(
                msg,
                reason=Reason(code="begun_elsewhere", rule="models", scope=candidate.name, fix=fix),
            )

    def _has_others(self, passage: ModelPassage) -> bool:
        """Whether somebody of another format may serve a call."""
        takes = [self.settings.providers[each.provider].takes for each in passage.candidates]
        return any(passage.call.format not in formats for formats in takes)

    def _translated(self, passage: ModelPassage, candidate: Candidate, format: Format) -> Draft:
        """Return the request in another format, unless it would lose more than may be lost."""
        call, request, policy = passage.call, passage.request, passage.policy
        assert request is not None
        assert policy is not None
        source, target = CODECS[call.format], UPSTREAMS[format.name]
        home = self._home(passage)
        prompt = source.read_request(
            call.body, Home(minter=home, model=call.model, stream=call.stream)
        )
        provider = self.settings.providers[candidate.provider]
        to = _target(provider, candidate, output_tokens=policy.max_output_tokens)
        written = target.write_request(prompt, to)
        self._refuse_losses(request.model, candidate, written.losses)
        return Draft(
            format=format,
            request=_unasked(_again(format, written.body, request, candidate), provider),
            body=written.body,
            headers=JSON_HEADERS,
            way_back=_way_back(call, prompt, source=target, target=source, home=home, to=to),
            changes=(f"format={format.name}", *lost(written.losses)),
        )

    def _home(self, passage: ModelPassage) -> Minter | None:
        """Return who answers this call in its own format, and so has signed what is in it."""
        for candidate in passage.candidates:
            provider = self.settings.providers[candidate.provider]
            if passage.call.format in provider.takes:
                return minter_of(provider)
        return None

    def _refuse_losses(self, name: str, candidate: Candidate, losses: tuple[Loss, ...]) -> None:
        route = self.settings.models.get(name)
        forbidden = grave(losses, allowed=() if route is None else route.allow_loss)
        if not forbidden:
            return
        allow = ", ".join(f'"{each}"' for each in sorted({loss.name for loss in forbidden}))
        where = f"[models.{name}]"
        if route is None:
            where = f'a route of its own, [models.NAME] with use = ["{candidate.name}"]'
        fix = f"if that may be lost, put allow_loss = [{allow}] under {where}"
        what = f"{candidate.name} speaks another format, in which the request would lose"
        msg = f"{what} {_told(forbidden)}; {fix}"
        rule = f"models.{name}.allow_loss"
        raise Denied(
            msg, reason=Reason(code="meaning_lost", rule=rule, scope=candidate.name, fix=fix)
        )


def _told(losses: Sequence[Loss]) -> str:
    """Return what is lost, and where, in words."""
    shown = "; ".join(f"{loss.what} at {loss.where} ({loss.why})" for loss in losses[:MOST_NAMED])
    more = len(losses) - MOST_NAMED
    return f"{shown}; and {more} more" if more > 0 else shown


def minter_of(provider: ProviderPolicy) -> Minter:
    """Return who signs what a provider answers: the same provider, asked with the same key."""
    return Minter(provider=provider.name, account=provider.key or "")


def _target(provider: ProviderPolicy, candidate: Candidate, *, output_tokens: int) -> Target:
    return Target(
        minter=minter_of(provider),
        model=candidate.model,
        output_tokens=output_tokens,
        limit_field=provider.limit_field or LIMIT_FIELDS[0],
        lacks=provider.lacks,
        tool_ids=provider.tool_ids,
        thinking_field=provider.thinking_field,
    )


def _unasked(request: Request, provider: ProviderPolicy) -> Request:
    """Return a request that asks for no usage, for a server that refuses that and tells it anyway."""
    if "stream_options" not in provider.lacks:
        return request
    return msgspec.structs.replace(request, wants_usage=True)


def _again(format: Format, body: bytes, request: Request, candidate: Candidate) -> Request:
    """Read a translation as its provider will; a limit that the client did not name is the gate's."""
    again = format.parse(body, model=candidate.model, stream=request.stream)
    if request.output_limit is not None:
        return again
    return msgspec.structs.replace(again, output_limit=None)


def _way_back(
    call: ModelCall,
    prompt: Prompt,
    *,
    source: Upstream,
    target: Codec,
    home: Minter | None,
    to: Target,
) -> WayBack:
    client = Client(
        minter=home,
        seed=call.id,
        created=int(call.started_at),
        wants_usage=prompt.wants_usage,
        echo=prompt.echo,
    )
    origin = Origin(minter=to.minter, seed=call.id, model=to.model)
    return WayBack(source=source, target=target, origin=origin, client=client)


def _no_counterpart(call: ModelCall, candidate: Candidate) -> Refused:
    fix = f"ask for a model of a provider that takes the format {call.format}"
    msg = f"{candidate.name} cannot answer a request in the format {call.format}, which nothing translates; {fix}"
    return Denied(
        msg, reason=Reason(code="other_format", rule="models", scope=candidate.name, fix=fix)
    )
