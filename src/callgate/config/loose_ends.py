"""Names in the settings that lead nowhere, found also where other settings are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from callgate.config.lines import Lines, Path
from callgate.config.page import Page, named_tables, strings
from callgate.config.problems import Problem, dotted
from callgate.task import DEFAULT_TYPE

GLOB: Final = frozenset("*?[")


def loose_ends(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report every name that the file uses and does not have."""
    return Names(page, lines).loose_ends()


def split_name(name: str) -> tuple[str, str]:
    """Return provider and model of ``provider:model``, or of ``provider/model``."""
    provider, _, model = (name if ":" in name else name.replace("/", ":", 1)).partition(":")
    return provider, model


class Names:
    """The names that a file has, and those that it uses."""

    def __init__(self, page: Page, lines: Lines) -> None:
        self._page = page
        self._lines = lines
        self._providers = [name for name, _ in named_tables(page, "providers")]
        self._routes = [name for name, _ in named_tables(page, "models")]
        regions = [table.get("region") for _, table in named_tables(page, "providers")]
        self._regions = [region for region in regions if isinstance(region, str)]
        types = [name for name, _ in named_tables(page, "tasks")]
        self._types = list(dict.fromkeys([*types, DEFAULT_TYPE]))

    def loose_ends(self) -> Iterator[Problem]:
        """Report every name that is used and is not there."""
        for name, route in named_tables(self._page, "models"):
            for index, used in strings(route, "use"):
                yield from self._of_provider(("models", name, "use", index), used)
        for name, agent in named_tables(self._page, "agents"):
            yield from self._of_agent(name, agent)
        for name, task in named_tables(self._page, "tasks"):
            yield from self._of_task(name, task)
        yield from self._of_providers()
        for name, _ in named_tables(self._page, "prices"):
            if not split_name(name)[1]:
                yield self._without_model(name)
            yield from self._of_provider(("prices", name), name)

    def _of_provider(self, path: Path, used: str) -> Iterator[Problem]:
        provider, model = split_name(used)
        if model and provider not in self._providers:
            yield self._no_such(path, provider, self._providers, section="providers")

    def _of_agent(self, name: str, agent: Page) -> Iterator[Problem]:
        task_type = agent.get("task_type", DEFAULT_TYPE)
        if isinstance(task_type, str) and task_type not in self._types:
            yield self._no_such(
                ("agents", name, "task_type"), task_type, self._types, section="tasks"
            )
        yield from self._of_models(("agents", name), agent)

    def _of_models(self, place: Path, table: Page) -> Iterator[Problem]:
        usable = [*self._routes, *(f"{provider}:*" for provider in self._providers)]
        for index, pattern in strings(table, "models"):
            if not self._leads_somewhere(pattern):
                yield self._no_such((*place, "models", index), pattern, usable, section="models")

    def _leads_somewhere(self, pattern: str) -> bool:
        """Whether a permission can ever match: a name needs its route, a full name its provider."""
        if pattern in self._routes:
            return True
        provider, model = split_name(pattern)
        return bool(GLOB & set(provider)) or (bool(model) and provider in self._providers)

    def _no_such(self, path: Path, found: str, known: Sequence[str], *, section: str) -> Problem:
        near = get_close_matches(found, known, n=1)
        return Problem(
            line=self._lines.of(path),
            key=dotted(path),
            found=repr(found),
            allowed=", ".join(known) or f"nothing yet: there is no [{section}.NAME]",
            nearest=near[0] if near else None,
            remedy=f"add it under [{section}], or correct the name",
        )

    def _of_task(self, name: str, task: Page) -> Iterator[Problem]:
        yield from self._of_models(("tasks", name), task)
        for index, region in strings(task, "regions"):
            if region not in self._regions:
                path = ("tasks", name, "regions", index)
                yield self._no_such(path, region, self._regions, section="providers")

    def _of_providers(self) -> Iterator[Problem]:
        for name, provider in named_tables(self._page, "providers"):
            if "key" in provider and "keys" in provider:
                yield self._two_keys(name)

    def _two_keys(self, provider: str) -> Problem:
        path = ("providers", provider, "keys")
        return Problem(
            line=self._lines.of(path),
            key=dotted(path),
            found="key and keys",
            allowed="one of the two",
            remedy="put all of them into keys",
        )

    def _without_model(self, price: str) -> Problem:
        path = ("prices", price)
        return Problem(
            line=self._lines.of(path),
            key=dotted(path),
            found=repr(price),
            allowed='a provider and its model, as [prices."provider:model"]',
        )
