"""Secrets: settings hold references, and this room turns one into a credential when it is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from callgate.errors import Misconfigured
from callgate.redact import Secret
from callgate.secrets.env import EnvBackend
from callgate.secrets.file import FileBackend

EXAMPLES: Final[Mapping[str, str]] = {"env": "NAME", "file": "PATH"}
PLANNED: Final = frozenset({"keyring", "vault", "aws", "gcp", "azure"})
"""Places that the design has and this version does not."""

MARK: Final = 12
"""Hexadecimal digits of a mark: enough to tell keys apart, and no way back to one."""

QUOTES: Final = "\"'"
NOT_VISIBLE: Final = re.compile(r"[^!-~]")
"""What a header's value cannot carry as it is, or would end. Source: RFC 9110 §5.5."""


class Backend(Protocol):
    """Where credentials are kept."""

    def resolve(self, name: str, /) -> str:
        """Return the credential of that name.

        Raises:
            Misconfigured: There is none; the message names where it was looked for.
        """
        ...


class Secrets:
    """Resolves references such as ``env:OPENAI_API_KEY`` and ``file:openai.key``.

    Args:
        environ: Where ``env:`` looks.
        base: The folder that relative files are below.
    """

    def __init__(self, environ: Mapping[str, str], base: Path) -> None:
        self._marks: dict[str, tuple[str, str]] = {}
        self._backends: Mapping[str, Backend] = {
            "env": EnvBackend(environ),
            "file": FileBackend(base),
        }

    def resolve(self, reference: str) -> Secret:
        """Return the credential that a reference names, without the space around it.

        Raises:
            Misconfigured: There is no such backend, it has no such credential, or what it has
                cannot be one.
        """
        scheme, _, name = reference.partition(":")
        backend = self._backends.get(scheme)
        if backend is None:
            raise _no_backend(scheme)
        value = backend.resolve(name).strip()
        flaw = _flaw(value)
        if flaw is not None:
            msg = f"the secret {reference} {flaw}"
            raise Misconfigured(msg)
        return Secret(value)

    def mark(self, reference: str) -> str:
        """Return what tells this credential from the one before it, and nothing else about it.

        One that cannot be resolved has none: who needs it will say why.
        """
        try:
            value = self.resolve(reference).reveal()
        except Misconfigured:
            return ""
        known = self._marks.get(reference)
        if known is None or known[0] != value:
            known = self._marks[reference] = (value, sha256(value.encode()).hexdigest()[:MARK])
        return known[1]


def _no_backend(scheme: str) -> Misconfigured:
    """Say which places there are; what stands there instead may be a key, and is not shown."""
    known = " or ".join(f"{known}:{example}" for known, example in EXAMPLES.items())
    found = f"{scheme}:" if scheme in PLANNED else "what stands there"
    msg = f"{found} is no place for secrets that this version knows; write {known}"
    return Misconfigured(msg)


def _flaw(value: str) -> str | None:
    """Return what keeps a text from being a credential, without showing it; None if nothing."""
    if not value:
        return "is empty; set it, or change the key in callgate.toml"
    if value[0] in QUOTES and value[-1] == value[0]:
        return "is in quotes, which are part of it where it stands; take them off"
    strange = NOT_VISIBLE.search(value)
    if strange is None:
        return None
    return (
        f"holds U+{ord(strange[0]):04X} as its character {strange.start() + 1} of {len(value)}, "
        "which no header can carry; is it one key, and nothing else?"
    )
