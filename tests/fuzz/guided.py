"""Feeds bytes that atheris makes up, led by the branches that they reach.

``python -m tests.fuzz.guided FOLDER -atheris_runs=1000000``; the folder gets the bytes that reached
new branches, beginning with the streams that providers send.
"""

from __future__ import annotations

import atexit
import importlib
import json
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

# It tells no types, and is not there for every Python and platform.
atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["callgate.wire"]):
    from callgate.wire.formats import FORMATS
    from tests.fuzz import fragments, properties
    from tests.unit.wire.codec.translating import WAYS_BACK, WAYS_OUT
    from tests.unit.wire.codec.upstreams import REPLIES, STREAMS

NAMES: Final = tuple(FORMATS)


def _pieces(chance: random.Random, stream: bytes) -> list[bytes]:
    places = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(4)))
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


def _split(chance: random.Random, data: bytes) -> None:
    properties.check_split(_pieces(chance, data))


def _relay(chance: random.Random, data: bytes) -> None:
    properties.check_relay(chance.choice(properties.RELAYED), _pieces(chance, data))


def _translate(chance: random.Random, data: bytes) -> None:
    source, target = chance.choice(WAYS_BACK)
    properties.check_translation(source, target, _pieces(chance, data))


def _reply(chance: random.Random, data: bytes) -> None:
    properties.check_reply(*chance.choice(WAYS_BACK), data)


def _request(chance: random.Random, data: bytes) -> None:
    properties.check_request(*chance.choice(WAYS_OUT), data)


def _refuse(chance: random.Random, data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    headers = fragments.headers_in(head.decode("latin-1"))
    status = chance.choice(fragments.STATUSES)
    properties.check_refusal(chance.choice(NAMES), status, headers, body)


CHECKS: Final[tuple[Callable[[random.Random, bytes], None], ...]] = (
    _split,
    _relay,
    _translate,
    _reply,
    _request,
    _refuse,
)

_fed = {check.__name__: 0 for check in CHECKS}


def feed(data: bytes) -> None:
    """Put bytes through a check: the first byte names it, the second decides every other choice."""
    if len(data) < 2:
        return
    check = CHECKS[data[0] % len(CHECKS)]
    check(random.Random(data[1]), data[2:])
    _fed[check.__name__] += 1 + data.count(b"\n\n")


def write_beginnings(folder: Path) -> None:
    """Write what providers and clients send as the first bytes to change."""
    bodies: Mapping[str, bytes] = {
        **{f"stream-{name}": stream for name, stream in STREAMS.items()},
        **{f"reply-{name}": json.dumps(page).encode() for name, page in REPLIES.items()},
        **{f"ask-{name}": json.dumps(page).encode() for name, page in fragments.REQUESTS.items()},
        **{f"error-{n}": json.dumps(page).encode() for n, page in enumerate(fragments.ERRORS)},
    }
    for name, body in bodies.items():
        for check in range(len(CHECKS)):
            for choice in range(0, 256, 32):
                (folder / f"{name}-{check}-{choice}").write_bytes(bytes((check, choice)) + body)


def _tell() -> None:
    sys.stdout.write(f"fragments fed: {sum(_fed.values()):,} {_fed}\n")


def main() -> None:
    """Feed until the runs are over."""
    write_beginnings(Path(sys.argv[1]))
    atexit.register(_tell)
    atheris.Setup(sys.argv, feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
