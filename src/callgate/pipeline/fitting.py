"""Fitting: who cannot take a call whatever form it has, as the settings say."""

from __future__ import annotations

from fnmatch import fnmatchcase

from callgate.call import Candidate, ModelCall
from callgate.config.policies import Ability, ProviderPolicy, TaskPolicy
from callgate.errors import Denied, Malformed, Reason
from callgate.wire import Request
from callgate.wire.codec import Home
from callgate.wire.codec.translate import CODECS


def refuse_region(policy: TaskPolicy, provider: ProviderPolicy, candidate: Candidate) -> None:
    """Refuse a candidate that serves where these tasks may not be served.

    Raises:
        Denied: It does.
    """
    wanted, region = policy.regions, provider.region
    if not wanted or region in wanted:
        return
    where = "names no region" if region is None else f"is served in {region}"
    rule = f"tasks.{policy.type}.regions"
    fix = f"add one of {', '.join(wanted)} to the route, or its region to {rule}"
    msg = f"{candidate.name} {where}, and these tasks may be served in {', '.join(wanted)} only; {fix}"
    raise Denied(msg, reason=Reason(code="other_region", rule=rule, scope=candidate.name, fix=fix))


def refuse_inability(
    call: ModelCall, request: Request, provider: ProviderPolicy, candidate: Candidate
) -> None:
    """Refuse a candidate that cannot do what a request asks for.

    Raises:
        Denied: The settings say so.
    """
    for pattern, lacked in provider.models_lack:
        if not fnmatchcase(candidate.model, pattern):
            continue
        for ability in lacked:
            if _asks_for(ability, call, request):
                rule = f"providers.{provider.name}.models_lack"
                fix = f"ask another model, or take {ability!r} out of {rule}"
                msg = f"{candidate.name} has no {ability}, which the request asks for; {fix}"
                reason = Reason(code="unable", rule=rule, scope=candidate.name, fix=fix)
                raise Denied(msg, reason=reason)


def _asks_for(ability: Ability, call: ModelCall, request: Request) -> bool:
    if ability == "tools":
        return request.has_tools
    if ability == "images":
        return bool(request.image_sizes)
    return _has_schema(call)


def _has_schema(call: ModelCall) -> bool:
    codec = CODECS.get(call.format)
    if codec is None:
        return False
    home = Home(minter=None, model=call.model, stream=call.stream)
    try:
        shape = codec.read_request(call.body, home).params.shape
    except Malformed:
        # Its provider will say what is wrong with it.
        return False
    return shape is not None and shape.schema is not None
