"""Look-ups: what a platform says of the tools that the settings name, and what is left there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote as quoted

from callgate.call import Tool
from callgate.config.platform_policies import PlatformPolicy
from callgate.errors import CallgateError
from callgate.redact import Secret
from callgate.tools.platform.definitions import Slug, tool_of
from callgate.tools.platform.desk import Desk
from callgate.tools.platform.profiles import Profile
from callgate.tools.platform.reading import list_at, member

MOST_PAGES: Final = 100

Found = Mapping[str, Tool | str]
"""By what the settings call it: a tool, or why it cannot be used."""


class LookUps:
    """Asks a platform what costs nothing.

    Args:
        policy: Its settings.
        profile: Its ways.
        desk: Where it is asked.
        credential: Returns the key; None where there is none.
    """

    def __init__(
        self,
        policy: PlatformPolicy,
        profile: Profile,
        *,
        desk: Desk,
        credential: Callable[[], Secret | None],
    ) -> None:
        self._policy = policy
        self._profile = profile
        self._desk = desk
        self._credential = credential

    async def tools(self, slugs: Sequence[Slug]) -> Found:
        """Return what each tool is, or why it cannot be used."""
        if self._profile.definitions.items:
            return await self._from_list(slugs)
        found = await asyncio.gather(*map(self._one, slugs))
        return {slug.written: what for slug, what in zip(slugs, found, strict=True)}

    async def balance(self) -> None:
        """Ask what is left, where a platform tells that."""
        path = self._profile.balance_path
        if path is None:
            return
        page = await self._page(path, "its balance")
        if not isinstance(page, str):
            self._desk.note(page, self._profile.balance, "look-up")

    async def _one(self, slug: Slug) -> Tool | str:
        if not slug.is_safe():
            return f"{slug.written!r} is no name that a tool can have"
        path = self._profile.definitions.path.format(
            owner=quoted(slug.owner, ""), slug=quoted(slug.slug, "")
        )
        page = await self._page(path, slug.slug)
        return page if isinstance(page, str) else self._tool(page, slug)

    async def _from_list(self, slugs: Sequence[Slug]) -> Found:
        places = self._profile.definitions
        wanted = {slug.slug: slug for slug in slugs}
        name = self._policy.name
        found: dict[str, Tool | str] = {
            slug.written: f"{name} lists no tool {slug.slug!r}" for slug in slugs
        }
        for number in range(1, MOST_PAGES + 1):
            page = await self._page(places.path.format(page=number), "its tools")
            if isinstance(page, str):
                return dict.fromkeys(found, page)
            for item in list_at(page, places.items):
                slug = wanted.get(str(member(item, places.slug)))
                if slug is not None:
                    found[slug.written] = self._tool(item, slug)
            if member(page, places.has_more) is not True:
                break
        return found

    def _tool(self, page: Mapping[str, Any], slug: Slug) -> Tool | str:
        return tool_of(page, slug, profile=self._profile, policy=self._policy)

    async def _page(self, path: str, about: str) -> Mapping[str, Any] | str:
        """Return a page, or why there is none."""
        try:
            credential = self._credential()
            answered = await self._desk.ask(path, credential)
            return self._desk.page(answered, credential, about=about)
        except TimeoutError:
            seconds = self._policy.read_timeout_seconds
            return f"{self._policy.name} did not answer within {seconds:g} s"
        except CallgateError as failure:
            return failure.message
