"""Secrets: settings hold references, and this room turns one into a credential when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from callgate.errors import Misconfigured
from callgate.redact import Secret
from callgate.secrets.env import EnvBackend
from callgate.secrets.file import FileBackend


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
        self._backends: Mapping[str, Backend] = {
            "env": EnvBackend(environ),
            "file": FileBackend(base),
        }

    def resolve(self, reference: str) -> Secret:
        """Return the credential that a reference names.

        Raises:
            Misconfigured: There is no such backend, or it has no such credential.
        """
        scheme, _, name = reference.partition(":")
        backend = self._backends.get(scheme)
        if backend is None:
            known = ", ".join(f"{known}:" for known in self._backends)
            msg = f"{scheme!r} is no place for secrets that this version knows; it knows {known}"
            raise Misconfigured(msg)
        return Secret(backend.resolve(name))
