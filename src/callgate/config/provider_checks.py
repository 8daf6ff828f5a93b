"""Settings of a provider that do not go together, or not without another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from callgate.config.addresses import VERSIONED, aws_region_in
from callgate.config.lines import Lines
from callgate.config.page import Page, named_tables
from callgate.config.problems import Problem, dotted, shown
from callgate.config.servers import SERVERS

OF_AWS: Final = ("aws_profile", "aws_region")
RESOURCE: Final = '"https://NAME.openai.azure.com/openai/v1"'
REGION: Final = 'a region of AWS, such as "eu-central-1"'


def provider_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report every provider that could not be asked, and settings that would do nothing."""
    for name, table in named_tables(page, "providers"):
        check = Check(name, table, lines)
        match table.get("api"):
            case "azure":
                yield from check.of_azure()
            case "bedrock":
                yield from check.of_bedrock()
            case api:
                yield from check.of_openai()
                yield from check.of_others(api)


class Check:
    """The settings of one provider."""

    def __init__(self, name: str, table: Page, lines: Lines) -> None:
        self._name = name
        self._table = table
        self._lines = lines
        self._url = str(table.get("base_url") or "")

    def of_azure(self) -> Iterator[Problem]:
        """Report what keeps Azure from being asked."""
        if not self._url:
            remedy = f"add base_url = {RESOURCE} to [providers.{self._name}]"
            yield self._problem("base_url", "nothing", RESOURCE, remedy)
        yield from self._useless((*OF_AWS, "server"), "the api is azure")

    def of_bedrock(self) -> Iterator[Problem]:
        """Report what keeps Bedrock from being asked."""
        region = self._table.get("aws_region") or aws_region_in(self._url)
        signs = "key" not in self._table and "keys" not in self._table
        if region is None and (signs or not self._url):
            remedy = f'add aws_region = "…" to [providers.{self._name}]'
            yield self._problem("aws_region", "nothing", REGION, remedy)
        if not signs:
            yield from self._useless(OF_AWS[:1], "its key is used as it is")
        yield from self._versioned("bedrock")
        yield from self._useless(("server",), "the api is bedrock")

    def of_openai(self) -> Iterator[Problem]:
        """Report a hosted server that is named without its key."""
        named = self._table.get("server")
        server = SERVERS.get(named) if isinstance(named, str) else None
        if server is None or server.key is None or self._url:
            return
        if "key" not in self._table and "keys" not in self._table:
            remedy = f'add key = "env:{server.key}" to [providers.{self._name}]'
            yield self._problem("key", "nothing", f"a reference: {named} needs a key", remedy)

    def of_others(self, api: object) -> Iterator[Problem]:
        """Report what holds for other apis only."""
        yield from self._useless(OF_AWS, f"the api is {api}")
        yield from self._versioned(api)
        if api != "openai":
            yield from self._useless(("server",), f"the api is {api}")

    def _versioned(self, api: object) -> Iterator[Problem]:
        if VERSIONED in self._url:
            found = f"{VERSIONED}… where the api is {api}"
            yield self._problem("base_url", found, "a URL without it", "only Azure has versions")

    def _useless(self, keys: tuple[str, ...], why: str) -> Iterator[Problem]:
        for key in keys:
            if key in self._table:
                allowed = f"nothing: {why}, so that it would do nothing"
                yield self._problem(key, shown(self._table[key]), allowed, "remove it")

    def _problem(self, key: str, found: str, allowed: str, remedy: str) -> Problem:
        path = ("providers", self._name, key)
        return Problem(
            line=self._lines.of(path), key=dotted(path), found=found, allowed=allowed, remedy=remedy
        )
