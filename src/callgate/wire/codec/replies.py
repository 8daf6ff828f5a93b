"""What the codecs of all formats need to read and write replies."""

from __future__ import annotations

from copy import copy

import msgspec

from callgate.errors import BrokenReply, CallgateError, Failed
from callgate.wire import replies
from callgate.wire.codec.canonical import Completion, Finish, Text, Thinking
from callgate.wire.codec.losses import Losses
from callgate.wire.replies import whole


def broken(message: str) -> BrokenReply:
    """Return the failure of a reply that cannot be translated."""
    return BrokenReply(whole(message), billed=True)


def unsayable(finish: Finish, format: str) -> BrokenReply:
    """Return the failure of a reply whose end has no word in the client's format."""
    return broken(f"the reply ended with {finish!r}, which {format} cannot say")


def arguments_of(value: object) -> str:
    """Return the arguments of a call as JSON, whichever way a server wrote them."""
    if value is None:
        return "{}"
    written = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return whole(written).strip() or "{}"


def object_in(arguments: str) -> msgspec.Raw | None:
    """Return arguments as a JSON object; None if they are none."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return None
    return msgspec.Raw(arguments.encode()) if isinstance(value, dict) else None


def finish_of(finish: Finish, *, calls: bool, refused: bool) -> Finish:
    """Return why a reply ended as its parts show it, where the server's word says less."""
    if finish == "stop":
        if calls:
            return "tool_calls"
        return "refusal" if refused else "stop"
    return "stop" if finish == "tool_calls" and not calls else finish


def words_of(completion: Completion) -> str:
    """Return all words of a reply."""
    return "".join(part.text for part in completion.parts if isinstance(part, Text))


def note_thought(part: Thinking, where: str, losses: Losses) -> None:
    """Note a thought that the client could not send back."""
    what = "redacted thinking" if part.is_redacted else "thinking"
    why = "only who made it can read its signature, and it would come back to somebody else"
    losses.add("thinking", where, what=what, why=why)


def bare(error: CallgateError) -> CallgateError:
    """Return an error without the provider's answer, whose words are those of another format."""
    if not isinstance(error, Failed) or error.answer is None:
        return error
    kept = copy(error)
    kept.answer = None
    return kept


def texts(value: object) -> list[str]:
    """Return the texts of a list of parts; none where there is no list."""
    found = [part.get("text") for part in replies.objects(value)]
    return [each for each in found if isinstance(each, str)]
