"""Credentials in environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from callgate.errors import Misconfigured


class EnvBackend:
    """Looks in the environment that the process was started with."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def resolve(self, name: str, /) -> str:
        """Return what a variable holds."""
        value = self._environ.get(name)
        if value is None:
            msg = f"the environment variable {name} is not set; export {name}=…, or change the key in callgate.toml"
            raise Misconfigured(msg)
        return value
