"""What the tools of a platform are: looked up, checked, and made tools of this gate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from callgate.call import Tool
from callgate.config.platform_policies import PlatformPolicy
from callgate.tools.platform.profiles import Profile
from callgate.tools.platform.reading import (
    member,
    number_at,
    object_at,
    spent,
    text_at,
)

SLUG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What a tool or its owner may be called: no slash, no leading dot, nothing that a URL reads."""

LONGEST_DESCRIPTION: Final = 4_000
LARGEST_SCHEMA: Final = 64_000
"""Bytes; a model reads both with every request."""

USUAL_TIMEOUT_SECONDS: Final = 60.0


class Slug(msgspec.Struct, frozen=True, kw_only=True):
    """One tool of a platform, as the settings name it."""

    owner: str
    slug: str
    written: str
    """``slug``, or ``owner/slug`` as the settings have it."""

    @classmethod
    def of(cls, written: str, profile: Profile) -> Slug:
        """Return what a name in the settings stands for."""
        owner, _, slug = written.rpartition("/")
        return cls(owner=owner or profile.owner, slug=slug, written=written)

    def is_safe(self) -> bool:
        """Whether it can be a part of a path as it is."""
        names = [self.slug] if not self.owner else [self.owner, self.slug]
        return all(SLUG.fullmatch(name) and ".." not in name for name in names)


def tool_of(
    page: Mapping[str, Any], slug: Slug, *, profile: Profile, policy: PlatformPolicy
) -> Tool | str:
    """Return a tool as its platform describes it, or why it cannot be used.

    Args:
        page: What the platform told of it.
        slug: Which was asked for.
        profile: The ways of the platform.
        policy: The settings of the platform.
    """
    places = profile.definitions
    if member(page, places.slug) != slug.slug:
        return f"the platform answered with another tool than {slug.slug}"
    takes = object_at(page, places.input_schema)
    gives = object_at(page, places.output_schema)
    for schema in (takes, gives):
        flaw = None if schema is None else _flaw(schema)
        if flaw is not None:
            return flaw
    price = number_at(page, places.price)
    longest = number_at(page, places.timeout_seconds)
    told_seconds = USUAL_TIMEOUT_SECONDS if longest is None else float(longest)
    return Tool(
        name=f"{policy.name}.{slug.slug}",
        title=text_at(page, places.title),
        description=(text_at(page, places.description) or slug.slug)[:LONGEST_DESCRIPTION],
        input_schema=takes or {"type": "object"},
        output_schema=gives,
        toolset=policy.name,
        remote_name=slug.written,
        cost=spent(price, profile.credit),
        key=policy.key,
        timeout_seconds=policy.timeout_seconds or max(told_seconds, 1.0),
    )


def _flaw(schema: Mapping[str, Any]) -> str | None:
    size = len(msgspec.json.encode(schema))
    if size > LARGEST_SCHEMA:
        return (
            f"its schema has {size:,} bytes, and a model cannot read more than {LARGEST_SCHEMA:,}"
        )
    return None
