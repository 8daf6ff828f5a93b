"""The registry of MCP servers: what is published there, and the table that a server becomes."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from callgate.errors import Misconfigured, Unknown

Page = TypeVar("Page")

ELSEWHERE: Final = (
    "try again later, name another by --registry URL, or add a server that you have:"
    " callgate mcp add NAME -- PROGRAM"
)

OFFICIAL: Final = "https://registry.modelcontextprotocol.io"
ANSWER_SECONDS: Final = 15.0
LARGEST_ANSWER: Final = 10_000_000

SHOWN: Final = 30
"""How many servers a search shows."""

FILL_IN: Final = "FILL IN"
"""What stands where somebody must say something."""

OFFICIAL_META: Final = "io.modelcontextprotocol.registry/official"


class Input(msgspec.Struct, frozen=True, rename="camel"):
    """Something that a server is started with."""

    name: str | None = None
    value: str | None = None
    default: str | None = None
    value_hint: str | None = None
    is_required: bool = False
    is_secret: bool = False

    @property
    def told(self) -> str | None:
        """What it is, or that somebody must say it; None where it may be left out."""
        known = self.value if self.value is not None else self.default
        if known is not None:
            return known
        return f"{FILL_IN}: {self.value_hint or self.name}" if self.is_required else None


class Transport(msgspec.Struct, frozen=True):
    """How a server is spoken to."""

    type: str
    url: str | None = None
    headers: tuple[Input, ...] = ()


class Package(msgspec.Struct, frozen=True, rename="camel"):
    """A program that can be installed."""

    registry_type: str
    identifier: str
    version: str | None = None
    transport: Transport = Transport("stdio")
    runtime_arguments: tuple[Input, ...] = ()
    package_arguments: tuple[Input, ...] = ()
    environment_variables: tuple[Input, ...] = ()


class Server(msgspec.Struct, frozen=True):
    """A server as it is published."""

    name: str
    version: str
    description: str = ""
    packages: tuple[Package, ...] = ()
    remotes: tuple[Transport, ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """A server, and what the registry says about it."""

    server: Server
    meta: Mapping[str, Any] = msgspec.field(default_factory=dict[str, Any], name="_meta")

    @property
    def status(self) -> str:
        """Whether it is ``active``, ``deprecated`` or ``deleted``."""
        return str(self.meta.get(OFFICIAL_META, {}).get("status", "active"))


class Found(msgspec.Struct, frozen=True):
    """A page of servers."""

    servers: tuple[Entry, ...]
    metadata: Mapping[str, Any] = {}


class Registry:
    """Asks a registry.

    Source: openapi.yaml of the MCP registry, 2025-12-01 (``/v0.1``).

    Args:
        url: Where it is.
    """

    def __init__(self, url: str = OFFICIAL) -> None:
        self._url = url.rstrip("/")

    def search(self, text: str) -> Sequence[Entry]:
        """Return the servers whose names have a text, each in its latest version."""
        query = urlencode({"search": text, "version": "latest", "limit": SHOWN})
        return self._ask(f"/v0.1/servers?{query}", Found).servers

    def find(self, name: str, version: str) -> Entry:
        """Return one version of a server.

        Raises:
            Unknown: There is none.
        """
        path = f"/v0.1/servers/{quote(name, safe='')}/versions/{quote(version, safe='')}"
        return self._ask(path, Entry)

    def _ask(self, path: str, type: type[Page]) -> Page:
        if not self._url.startswith(("http://", "https://")):
            msg = f"--registry {self._url!r} is no URL; it is like {OFFICIAL}"
            raise Misconfigured(msg)
        try:
            # Its scheme has been looked at.
            with urllib.request.urlopen(self._url + path, timeout=ANSWER_SECONDS) as response:  # noqa: S310
                return msgspec.json.decode(response.read(LARGEST_ANSWER), type=type)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                msg = f"the registry {self._url} has no such server; callgate mcp search TEXT finds names"
                raise Unknown(msg) from error
            msg = f"the registry {self._url} answered {error.code}; {ELSEWHERE}"
            raise Misconfigured(msg) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            msg = f"what answers at {self._url} is no registry of MCP servers: {error}"
            raise Misconfigured(msg) from error
        except OSError as error:
            why = getattr(error, "reason", error)
            msg = f"the registry {self._url} cannot be reached ({why}); {ELSEWHERE}"
            raise Misconfigured(msg) from error


def table_of(server: Server, *, kind: str | None = None) -> dict[str, Any]:
    """Return the table of the settings that starts, or reaches, a server.

    Args:
        server: As it is published.
        kind: ``npm``, ``pypi``, ``oci``, ``nuget`` or ``remote``, where several are; the first that can be used
            if None.

    Raises:
        Misconfigured: It is published in no way that a gate can use.
    """
    for name, table in _ways(server):
        if kind in {None, name}:
            return table
    offered = ", ".join(name for name, _ in _ways(server)) or "none that a gate can use"
    msg = f"{server.name} is not published as {kind or 'anything usable'}; there is {offered}"
    raise Misconfigured(msg)


def _ways(server: Server) -> Iterator[tuple[str, dict[str, Any]]]:
    for package in server.packages:
        if package.registry_type in STARTERS and package.transport.type == "stdio":
            yield package.registry_type, _program(package)
    for remote in server.remotes:
        if remote.type == "streamable-http" and remote.url:
            headers = _named(remote.headers, "HEADER")
            yield "remote", {"url": remote.url, **({"headers": headers} if headers else {})}


def _program(package: Package) -> dict[str, Any]:
    env = _named(package.environment_variables, "")
    command, *args = STARTERS[package.registry_type](package)
    args += _told(package.package_arguments)
    return {"command": command, "args": args, **({"env": env} if env else {})}


def _npx(package: Package) -> list[str]:
    return ["npx", *_told(package.runtime_arguments), "-y", _at(package, "@")]


def _uvx(package: Package) -> list[str]:
    return ["uvx", *_told(package.runtime_arguments), _at(package, "@")]


def _dnx(package: Package) -> list[str]:
    return ["dnx", *_told(package.runtime_arguments), _at(package, "@"), "--yes", "--"]


def _docker(package: Package) -> list[str]:
    passed = [
        word
        for one in package.environment_variables
        if (one.name and one.told is not None) or one.is_secret
        for word in ("-e", str(one.name))
    ]
    return [
        "docker", "run", "-i", "--rm", *passed, *_told(package.runtime_arguments), _at(package, ":")
    ]  # fmt: skip


STARTERS: Final = {"npm": _npx, "pypi": _uvx, "oci": _docker, "nuget": _dnx}
"""What starts a package of each kind, at the version that is published.

Source: the guide of the MCP registry on package types; ``npx``, ``uvx``, ``docker`` and ``dnx``.
"""


def _at(package: Package, mark: str) -> str:
    has_version = package.version and mark not in package.identifier.rpartition("/")[2].lstrip("@")
    return f"{package.identifier}{mark}{package.version}" if has_version else package.identifier


def _told(arguments: Sequence[Input]) -> list[str]:
    """Return arguments as a program gets them: ``--port``, ``80`` for one with a name."""
    words: list[str] = []
    for one in arguments:
        if one.told is None:
            continue
        words += [one.name, one.told] if one.name else [one.told]
    return words


def _named(inputs: Sequence[Input], prefix: str) -> dict[str, str]:
    """Return what has a name, with a reference in the place of each secret."""
    named: dict[str, str] = {}
    for one in inputs:
        if not one.name:
            continue
        if one.is_secret:
            variable = "_".join(filter(None, (prefix, one.name))).upper().replace("-", "_")
            named[one.name] = f"env:{variable}"
        elif one.told is not None:
            named[one.name] = one.told
    return named
