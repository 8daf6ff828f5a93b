"""Every exception of this package, as a tree that answers the first question: who must act?

    CallgateError
    ├── Misconfigured        the operator: the settings or the environment are wrong
    ├── Refused              nothing left the process, nothing was spent
    │   ├── Malformed        the agent: the request cannot be read (400)
    │   │   ├── TooLarge     the agent: it has more bytes than the gate takes (413)
    │   │   └── InvalidArguments  the agent: the tool does not take these arguments (400)
    │   ├── Unauthenticated  the agent: no key, or one that is unknown, expired or revoked (401)
    │   ├── Denied           the operator: this agent may not do this (403)
    │   ├── ToolChanged      the operator: a tool is not what was accepted (403)
    │   ├── Unknown          the agent: no such model, task or path (404)
    │   ├── OverBudget       the operator: the money is spent or held (402)
    │   ├── Unpriced         the operator: a budget holds, and the model has no price (402)
    │   ├── Unbounded        the operator: a budget holds, and the cost has no bound (402)
    │   ├── OverLimit        time: too many calls, or too many at once (429)
    │   │   └── StillRunning  time: what is to be done once is being done just now (429)
    │   ├── StillUnknown     a person: what is to be done once may have been done already (424)
    │   ├── AlreadyDone      nobody: what is to be done once has been done (200)
    │   ├── Looping          the agent: it goes round in circles (403)
    │   ├── DeadlinePassed   the operator: the task's time is over (403)
    │   └── StoreDown        the operator: no durable record is possible, so no call runs (503)
    ├── Failed               the far side said no, or never answered; ``billed`` says whether it
    │   │                    may have cost money
    │   ├── Transient        time: 5xx, connection
    │   │   ├── RateLimited  time: the provider takes no more calls for a while (429)
    │   │   ├── TimedOut     time: the provider did not answer, or stopped answering
    │   │   └── BreakerOpen  time: the provider failed so often that it is not asked for now (503)
    │   ├── BadRequest       the agent: the provider cannot accept this request (400, 422)
    │   ├── NoSuchModel      the operator: the provider does not have this model (404)
    │   ├── BadCredential    the operator: the provider rejects the key (401)
    │   │   └── Forbidden    the operator: the key may not use this model (403)
    │   ├── OutOfCredit      the operator: the account at the provider is empty (402, 429)
    │   ├── Quarantined      the operator: the provider, model or key is not used until lifted
    │   ├── OutcomeUnknown   a person: a tool may have done its work, and did not say so (424)
    │   ├── ToolBug          the operator: a tool of ours raised an error (500)
    │   ├── BrokenReply      time: the reply stopped before its end, or cannot be read
    │   └── Exhausted        every candidate of the route failed
    └── ClientLeft           nobody: the reader of a reply hung up

The numbers are the statuses that a refusal answers with, and those of a provider that a failure
stands for. docs/errors.md has the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from callgate.money import Money


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a refusal tells besides its sentence; the ``callgate`` object of an error body."""

    code: str
    """Stable name of the refusal, such as ``over_budget``."""
    rule: str | None = None
    """The setting that refused, such as ``tasks.research.budget``."""
    scope: str | None = None
    """What it covers, such as ``task:t_123`` or ``agent:researcher``."""
    limit: int | str | None = None
    """What the rule allows; money in nano-dollars."""
    used: int | str | None = None
    """What is spent already; money in nano-dollars."""
    held: int | None = None
    """What running calls hold at this moment, in nano-dollars; it may come free."""
    needed: int | str | None = None
    """What the call would have taken; money in nano-dollars."""
    resets_at: str | None = None
    """When the rule allows it again (RFC 3339), if it does so by itself."""
    fix: str | None = None
    """What to do about it, as a command or a line of settings where there is one."""


class CallgateError(Exception):
    """Base of every error in this package."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    """The HTTP status that a door answers with."""

    def __init__(self, message: str, *, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or Reason(code=self.code)

    def __reduce__(self) -> tuple[object, ...]:
        """Let an error be copied, and cross processes: few are made of their message alone."""
        return _bare, (type(self), self.args), self.__dict__


def _bare(kind: type[CallgateError], args: tuple[object, ...]) -> CallgateError:
    """Return an error without what its class puts into it, which is to follow."""
    return kind.__new__(kind, *args)


class Misconfigured(CallgateError):
    """The settings cannot be used; ``message`` lists every mistake with its remedy."""

    code = "misconfigured"


class Refused(CallgateError):
    """We said no before anything left the process; nothing was spent."""

    code = "refused"
    status = 403
    may_retry: ClassVar[bool] = False
    """Whether the same request can succeed by waiting a little."""


class Malformed(Refused):
    """The request cannot be read, or contradicts itself."""

    code = "malformed"
    status = 400


class TooLarge(Malformed):
    """The request has more bytes than the gate takes."""

    code = "too_large"
    status = 413


class InvalidArguments(Malformed):
    """The tool does not take these arguments; the message says where, and what it expects."""

    code = "invalid_arguments"


class Unauthenticated(Refused):
    """No key, or a key that is unknown, expired or revoked."""

    code = "unauthenticated"
    status = 401


class ToolChanged(Refused):
    """A tool is not what somebody has accepted, so it is not called until somebody has looked."""

    code = "tool_changed"
    status = 403


class Denied(Refused):
    """The caller is known, and this is not among the things that it may do."""

    code = "denied"
    status = 403


class Unknown(Refused):
    """There is no such model, task or path."""

    code = "unknown"
    status = 404


class OverBudget(Refused):
    """The most that the call can cost does not fit in what is left."""

    code = "over_budget"
    status = 402


class Unpriced(Refused):
    """The model has no price, and a budget holds: what it costs could not be limited."""

    code = "unpriced"
    status = 402


class Unbounded(Refused):
    """What the request can cost cannot be told before it runs, and a budget holds."""

    code = "unbounded"
    status = 402


class OverLimit(Refused):
    """Too many calls in a window, or too many at once.

    Attributes:
        retry_after_seconds: When it would fit, if nobody else comes first.
        waits: Whether the settings want such a call to wait for its turn.
    """

    code = "over_limit"
    status = 429
    may_retry = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float,
        waits: bool = False,
        reason: Reason | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_seconds = retry_after_seconds
        self.waits = waits


class StillRunning(OverLimit):
    """What is to be done once is being done just now, by another call."""

    code = "still_running"


class StillUnknown(Refused):
    """What is to be done once may have been done already; somebody must find out."""

    code = "still_unknown"
    status = 424


class AlreadyDone(Refused):
    """What is to be done once has been done; within the road, which then tells what came of it.

    Attributes:
        call_id: The call that did it; None where the one who asks may not know more of it.
        done_at: When, seconds since 1970.
        result: What the tool said, as it was kept; None where it was not, or is another's.
        is_same: Whether every argument was the same.
    """

    code = "already_done"
    status = 200

    def __init__(
        self,
        message: str,
        *,
        call_id: str | None,
        done_at: float,
        result: bytes | None,
        is_same: bool,
        reason: Reason | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.call_id = call_id
        self.done_at = done_at
        self.result = result
        self.is_same = is_same


class Looping(Refused):
    """The task goes round in circles: too many calls, the same call again, or too deep."""

    code = "looping"
    status = 403


class DeadlinePassed(Refused):
    """The task's time is over."""

    code = "deadline_passed"
    status = 403


class StoreDown(Refused):
    """The store does not answer or cannot write; a call without a record does not run."""

    code = "store_down"
    status = 503
    may_retry = True


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider answered when it said no, to be passed on as it was."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Failed(CallgateError):
    """The far side refused the call, or never answered.

    Attributes:
        billed: False where it is known that nothing was charged (a 4xx, a refused
            connection), True where nobody knows (a timeout, a reply that broke).
        answer: What the provider said, if it said anything.
        cost: What the far side says that it has charged, where it says so; money that came back
            proves nothing of what was done, so ``billed`` may be True all the same.
    """

    code = "failed"
    status = 502
    cost: Money | None = None

    def __init__(
        self,
        message: str,
        *,
        billed: bool,
        answer: Answer | None = None,
        reason: Reason | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.billed = billed
        self.answer = answer


class Transient(Failed):
    """Worth another try: 5xx, timeout, connection.

    Attributes:
        retry_after_seconds: The wait that the server asked for, if it did.
    """

    code = "transient"

    def __init__(
        self,
        message: str,
        *,
        billed: bool,
        answer: Answer | None = None,
        retry_after_seconds: float | None = None,
        reason: Reason | None = None,
    ) -> None:
        super().__init__(message, billed=billed, answer=answer, reason=reason)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(Transient):
    """The provider takes no more calls for a while (429)."""

    code = "rate_limited"
    status = 429


class TimedOut(Transient):
    """The provider did not answer, or stopped answering, in time."""

    code = "timed_out"
    status = 504


class BreakerOpen(Transient):
    """The provider failed so often that it is not asked for now; nothing was sent."""

    code = "breaker_open"
    status = 503


class BadRequest(Failed):
    """The provider cannot accept this request; the same request would fail again."""

    code = "bad_request"
    status = 400


class NoSuchModel(Failed):
    """The provider does not have this model, or this account may not see it."""

    code = "no_such_model"
    status = 404


class BadCredential(Failed):
    """The provider rejects the credential; an operator must act.

    Attributes:
        renewed: Whether another one stands in its place by now.
    """

    code = "bad_credential"
    renewed = False


class Forbidden(BadCredential):
    """The provider knows the credential, and does not let it use this model."""

    code = "forbidden"


class Quarantined(Failed):
    """The provider, the model or the key is not used until an operator acts; nothing was sent."""

    code = "quarantined"


class OutOfCredit(Failed):
    """The account at the provider has no money left; waiting does not help.

    Attributes:
        some_left: Whether something is left all the same, for what costs less.
    """

    code = "out_of_credit"
    some_left = False


class BrokenReply(Failed):
    """The reply ended before its end, or says what cannot be read; it may have been billed."""

    code = "broken_reply"


class OutcomeUnknown(Failed):
    """A tool that changes something may have done so; nothing repeats it by itself."""

    code = "outcome_unknown"
    status = 424
    """One that no client library sends again by itself."""


class ToolBug(Failed):
    """A tool of this gate's own process raised an error that it did not mean to tell."""

    code = "tool_bug"
    status = 500


class Exhausted(Failed):
    """Every candidate of the route failed; ``failures`` holds the last error of each."""

    code = "exhausted"

    def __init__(self, message: str, failures: Sequence[Failed]) -> None:
        super().__init__(message, billed=any(failure.billed for failure in failures))
        self.failures = tuple(failures)


class ClientLeft(CallgateError):
    """The reader of a reply hung up before its end."""

    code = "client_left"
    status = 499
