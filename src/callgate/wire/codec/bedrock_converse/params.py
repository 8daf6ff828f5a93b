"""Writes how to answer, for Converse: in its own fields, and in those that Claude takes beside them.

Source, unless another is named: botocore 1.44, ``bedrock-runtime/2023-09-30/service-2.json``.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

import msgspec

from callgate.wire.codec import Target
from callgate.wire.codec.canonical import Params, Reasoning
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.params import note_reasoning, plain_params
from callgate.wire.document import decoded

FIELDS: Final = {"temperature": "temperature", "top_p": "topP"}
APART: Final = frozenset({"top_k", "service_tier", "user", "metadata"})
"""Parameters that stand elsewhere."""

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")

LEAST_BUDGET: Final = 1_024
"""Source: anthropic-python 2.13, ``ThinkingConfigEnabledParam.budget_tokens``."""

TIERS: Final = frozenset({"default", "flex", "priority"})
"""Those of ``ServiceTierType`` that others know too."""

LABEL: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
"""A key or value of ``requestMetadata``."""

MOST_LABELS: Final = 16

STOPPED_BY: Final = "/stop_sequence"
"""Where Claude's own reply has the text that stopped it, as a JSON pointer."""


def is_claude(model: str) -> bool:
    """Whether a model is known to take Claude's own fields; an ARN may not tell what it runs."""
    return "anthropic." in model


def write_params(request: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    """Add how to answer to a request."""
    limit = target.output_tokens if params.output_tokens is None else params.output_tokens
    config: dict[str, Any] = {"maxTokens": limit}
    config.update(plain_params(params, FIELDS, target, losses, apart=APART))
    if config.get("temperature", 0) > 1:
        why = "the format knows 0 to 1; 1 would go"
        what = str(params.temperature)
        losses.add("sampling", "$.params.temperature", what=what, why=why)
        config["temperature"] = 1.0
    own: dict[str, Any] = {}
    request["inferenceConfig"] = config
    _write_stop(request, params, target, losses)
    _write_top_k(own, params, target, losses)
    _write_tier(request, params, losses)
    _write_labels(request, params, losses)
    _write_shape(request, params, losses)
    if params.reasoning is not None:
        _write_reasoning(request, own, params.reasoning, target, losses)
    if own:
        request["additionalModelRequestFields"] = own


def _write_stop(request: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    taken = [] if "stop" in target.lacks else [stop for stop in params.stop if stop.strip()]
    for n, stop in enumerate(params.stop):
        if stop not in taken:
            why = "the target takes no stop of white space alone, or none at all"
            losses.add("stop", f"$.params.stop[{n}]", what=repr(stop), why=why)
    if taken:
        request["inferenceConfig"]["stopSequences"] = taken
        if is_claude(target.model):
            request["additionalModelResponseFieldPaths"] = [STOPPED_BY]


def _write_top_k(own: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    if params.top_k is None:
        return
    if is_claude(target.model) and "top_k" not in target.lacks:
        own["top_k"] = params.top_k
    else:
        why = "only Claude is known to take it here"
        losses.add("sampling", "$.params.top_k", what=f"top_k={params.top_k}", why=why)


def _write_tier(request: dict[str, Any], params: Params, losses: Losses) -> None:
    tier = params.service_tier
    if tier in TIERS:
        request["serviceTier"] = {"type": tier}
    elif tier not in {None, "auto"}:
        why = "the provider has no such tier"
        losses.add("service_tier", "$.params.service_tier", what=str(tier), why=why)


def _write_labels(request: dict[str, Any], params: Params, losses: Losses) -> None:
    """Add what the provider's logs are to say of who asked."""
    labels: dict[str, object] = {}
    if params.metadata is not None:
        told: object = decoded("metadata", params.metadata)
        labels.update(cast("dict[str, object]", told) if isinstance(told, dict) else {"": told})
    if params.user is not None:
        labels["user"] = params.user
    for key, value in labels.items():
        if not (LABEL.fullmatch(key) and isinstance(value, str) and LABEL.fullmatch(value)):
            why = "the provider keeps labels of letters, digits, spaces and : _ @ $ # = / + , . -"
            losses.add("metadata", "$.params.metadata", what=key[:80], why=why)
            return
    if len(labels) > MOST_LABELS:
        why = f"the provider keeps {MOST_LABELS} labels"
        losses.add("metadata", "$.params.metadata", what=f"{len(labels)} labels", why=why)
    elif labels:
        request["requestMetadata"] = labels


def _write_shape(request: dict[str, Any], params: Params, losses: Losses) -> None:
    shape = params.shape
    if shape is None:
        return
    if shape.schema is None:
        why = "the format knows JSON after a schema only"
        losses.add("json_mode", "$.params.shape", what="json_object", why=why)
        return
    told = {"schema": bytes(shape.schema).decode(), "name": shape.name}
    told["description"] = shape.description
    wanted = {key: value for key, value in told.items() if value is not None}
    structure = {"jsonSchema": wanted}
    format = {"type": "json_schema", "structure": structure}
    request["outputConfig"] = {"textFormat": format}


def _write_reasoning(
    request: dict[str, Any],
    own: dict[str, Any],
    reasoning: Reasoning,
    target: Target,
    losses: Losses,
) -> None:
    """Add how the model should think: an effort for all, a budget for Claude."""
    claude = is_claude(target.model)
    if claude and (reasoning.effort == "none" or reasoning.budget_tokens == 0):
        own["thinking"] = {"type": "disabled"}
        return
    asked = msgspec.structs.replace(reasoning, budget_tokens=None) if claude else reasoning
    effort = note_reasoning(asked, EFFORTS, losses)
    if effort is not None:
        request.setdefault("outputConfig", {})["effort"] = effort
    if claude and (reasoning.budget_tokens is not None or reasoning.is_adaptive):
        _write_thinking(request, own, reasoning.budget_tokens, losses)
    elif reasoning.is_adaptive and effort is None:
        why = "only Claude is known to take it here"
        losses.add("effort", "$.params.reasoning", what="adaptive thinking", why=why)


def _write_thinking(
    request: dict[str, Any], own: dict[str, Any], budget: int | None, losses: Losses
) -> None:
    """Add Claude's thinking, as far as it goes together with the rest."""
    choice = request.get("toolConfig", {}).get("toolChoice", {})
    config = request["inferenceConfig"]
    most = config["maxTokens"] - 1
    if "any" in choice or "tool" in choice or (budget is not None and most < LEAST_BUDGET):
        why = "the provider takes no thoughts with a forced tool, nor within so few tokens"
        losses.add("effort", "$.params.reasoning", what="thinking", why=why)
        return
    if config.get("temperature", 1) != 1 or "top_k" in own:
        why = "the provider takes no sampling while a model thinks"
        losses.add("sampling", "$.params", what="temperature or top_k", why=why)
        config.pop("temperature", None)
        own.pop("top_k", None)
    if budget is None:
        own["thinking"] = {"type": "adaptive"}
        return
    taken = min(max(budget, LEAST_BUDGET), most)
    if taken != budget:
        why = f"the provider takes {LEAST_BUDGET} up to the output limit; {taken} would go"
        where = "$.params.reasoning.budget_tokens"
        losses.add("effort", where, what=f"budget_tokens={budget}", why=why)
    own["thinking"] = {"type": "enabled", "budget_tokens": taken}
