"""Settings: ``callgate.toml`` becomes typed, frozen policies; the only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from callgate.config.addresses import base_url
from callgate.config.policies import (
    BASE_URLS,
    PRICE_FILE,
    AgentPolicy,
    Api,
    GatePolicy,
    ProviderPolicy,
    Settings,
    TaskPolicy,
)
from callgate.config.problems import InvalidSettings, Problem
from callgate.config.starter import starter
from callgate.config.values import parse_duration
from callgate.errors import Misconfigured
from callgate.money import Money
from callgate.task import DEFAULT_TYPE

__all__ = [
    "FILE_NAME", "KNOWN_KEYS", "builtin", "environment", "find", "json_schema", "load", "parse_duration", "starter", "state_folder",
]  # fmt: skip

FILE_NAME = "callgate.toml"

KNOWN_KEYS: Final[Mapping[Api, tuple[str, ...]]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
"""The usual variables of the providers' own SDKs; of several that are set, the first.

Source: google-genai 3.6 ("Both GOOGLE_API_KEY and GEMINI_API_KEY are set. Using GOOGLE_API_KEY.").
"""

BASE_URL_VARIABLES: Final[Mapping[Api, str]] = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "gemini": "GOOGLE_GEMINI_BASE_URL",
}

BUILTIN_BUDGET = Money.dollars("1")
BUILTIN_TIMEOUT_SECONDS = 30 * 60.0


def environment() -> Mapping[str, str]:
    """Return the environment that the process was started with."""
    return dict(os.environ)


def find(start: Path) -> Path | None:
    """Return ``callgate.toml`` of a folder, or of the nearest one above that has it."""
    paths = (folder / FILE_NAME for folder in (start, *start.parents))
    return next(filter(os.path.isfile, paths), None)


def load(path: Path, *, environ: Mapping[str, str]) -> Settings:
    """Return what a settings file says.

    Args:
        path: The file.
        environ: The environment; references to it are checked for their form only.

    Raises:
        InvalidSettings: The file has mistakes; every one is listed with its line.
        Misconfigured: The file cannot be read.
    """
    del environ
    # The checker of types is heavy, and a command that loads no file goes without it.
    from callgate.config.loading import read_settings  # noqa: PLC0415

    return read_settings(_read(path), path.resolve())


def _read(path: Path) -> str:
    """Return the text of a settings file; editors on Windows put a byte order mark before it."""
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem(
            line=error.object.count(b"\n", 0, error.start) + 1,
            key="(syntax)",
            found=f"the byte 0x{error.object[error.start]:02x}, which is no UTF-8",
            allowed="UTF-8; save the file in that encoding",
        )
        raise InvalidSettings(path, [problem]) from error
    except FileNotFoundError as error:
        msg = f"there is no settings file {path}; callgate init {path} writes one"
        raise Misconfigured(msg) from error
    except OSError as error:
        msg = f"the settings file {path} cannot be read: {error.strerror}"
        raise Misconfigured(msg) from error


def builtin(environ: Mapping[str, str]) -> Settings:
    """Return the settings that hold where there is no file.

    Providers are those whose usual key is in the environment; every model of theirs may be used,
    under a budget and a timeout for each task.

    Raises:
        Misconfigured: A variable of the environment that says where a provider is holds no URL.
    """
    providers: dict[str, ProviderPolicy] = {
        api: ProviderPolicy(
            name=api,
            api=api,
            base_url=_base_url(api, environ),
            key=f"env:{variable}",
            price_source=api,
        )
        for api, variable in _set_keys(environ)
    }
    task = TaskPolicy(
        type=DEFAULT_TYPE, budget=BUILTIN_BUDGET, timeout_seconds=BUILTIN_TIMEOUT_SECONDS
    )
    return Settings(
        path=None,
        gate=GatePolicy(store=f"sqlite:{state_folder(environ) / 'callgate.db'}"),
        providers=providers,
        models={},
        agents={"default": AgentPolicy(name="default", models=("*",))},
        tasks={DEFAULT_TYPE: task},
        prices={},
        price_file=state_folder(environ) / PRICE_FILE,
    )


def _set_keys(environ: Mapping[str, str]) -> Iterator[tuple[Api, str]]:
    """Yield the apis whose key is in the environment, each with the variable that holds it."""
    for api, variables in KNOWN_KEYS.items():
        named = next((variable for variable in variables if environ.get(variable)), None)
        if named is not None:
            yield api, named


def _base_url(api: Api, environ: Mapping[str, str]) -> str:
    variable = BASE_URL_VARIABLES[api]
    url = environ.get(variable) or None
    if url is not None and not url.startswith(("http://", "https://")):
        msg = f"{variable} does not hold a URL; it is like {BASE_URLS[api]}, or not set at all"
        raise Misconfigured(msg)
    return base_url(api, url)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of ``callgate.toml``, for editors."""
    from callgate.config import schema  # noqa: PLC0415 (as in load)

    return schema.json_schema()


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return where a program keeps what it must not lose.

    Source: XDG Base Directory Specification, ``XDG_STATE_HOME``.
    """
    home = environ.get("XDG_STATE_HOME")
    base = Path(home) if home else Path(environ.get("HOME") or "~").expanduser() / ".local/state"
    return base / "callgate"
