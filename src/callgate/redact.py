"""Redaction: what may be kept or shown of a secret, a prompt or an error."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hmac import compare_digest
from typing import Final, NoReturn, SupportsIndex
from urllib.parse import quote, quote_plus

STARS: Final = "***"

PREFIXES: Final = (
    "sk", "rk", "pk", "csk", "xai", "pplx", "nvapi", "tvly", "glpat", "pypi", "xox[abeoprs]",
    "xapp", "cg_agent", "cg_task",
)  # fmt: skip
"""What keys begin with that go on with letters, digits, ``-`` and ``_``.

Source: the documentation of OpenAI, Anthropic, OpenRouter, Langfuse, Stripe, Cerebras, xAI,
Perplexity, NVIDIA, Tavily, GitLab, PyPI and Slack; the last two are this gate's own.
"""

PLAIN_PREFIXES: Final = (
    "gsk", "hf", "r8", "fw", "tgp_v1", "gh[oprsu]", "github_pat", "npm", "dop_v1", "lin_api",
    "ntn", "whsec", "shp(?:at|ca|pa|ss)",
)  # fmt: skip
"""What longer keys begin with, always before a ``_``: many a function's name begins so too.

Source: the documentation of Groq, Hugging Face, Replicate, Fireworks, Together, GitHub, npm,
DigitalOcean, Linear, Notion, Stripe and Shopify.
"""

NAMES: Final = (
    "api[-_ ]?key", "access[-_]?key(?:[-_]?id)?", "secret(?:[-_]?access)?(?:[-_]?key)?",
    "private[-_]?key", "client[-_]?secret", "(?:auth|access|refresh|id|session|bearer)?[-_]?token",
    "password", "passwd", "pwd", "credentials?", "authorization", "(?:set-)?cookie",
)  # fmt: skip
"""What a credential is called where it stands beside its name."""

KEY: Final = r"(?: (?=[\w-]*\d) [\w-]{8,} | [\w-]{20,} )"
"""What follows a prefix: it has a digit, or is too long for a word (``sk-learn`` is one)."""

PLAIN_KEY: Final = r"(?: (?=\w*\d) [\w-]{16,} | [A-Za-z0-9]{30,} )"

VALUE: Final = r"""(?: (?=[a-z]*[^a-z\s"'\\,;&]) [^\s"'\\,;&]{8,} | [a-z]{16,} )"""
"""What follows a name, without quotes: no plain word, unless it is too long for one."""

CREDENTIAL: Final = re.compile(
    rf"""
    (?<![A-Za-z0-9]) (?=[A-Za-z]) (?:
        (?:{"|".join(PREFIXES)}) [-_] {KEY}
      | (?<![_-]) (?:
            (?:{"|".join(PLAIN_PREFIXES)}) _ {PLAIN_KEY}
          | (?: AIza | ya29\. ) [\w-]{{20,}}
          | SG\. [\w-]{{16,}} \. [\w-]{{16,}}
          | (?:AKIA|ASIA) [A-Z0-9]{{12,}}
          | (?:ABSK | bedrock-api-key-) (?: [A-Za-z0-9+] | /(?=[A-Za-z0-9+]) ){{20,}}
          | eyJ [\w-]{{8,}} \. [\w-]{{8,}} (?:\.[\w-]*)?
        )
      | (?P<basic> (?i:basic)\s{{1,8}} ) (?=\S*(?:[a-z][A-Z0-9]|=)) [A-Za-z0-9+/=_-]{{8,}}
      | (?P<bearer> (?i:bearer)\s{{1,8}} ) {VALUE}
      | (?P<name> (?i:{"|".join(NAMES)}) \\*["']? \s{{0,8}} [:=] \s{{0,8}} )
        (?: (?P<quote> \\*["'] ) (?:(?!(?P=quote)).)+ | (?:(?i:bearer|basic)\s{{1,8}})? {VALUE} )
    )
    | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY----- (?s:.*?) (?:-----END\ [A-Z\ ]*PRIVATE\ KEY-----|\Z)
    | (?P<url> ://) (?: [^\s/?\#"'<>:@]* : [^\s/?\#"'<>]+ | [^\s/?\#"'<>:@]{{16,}} ) (?=@)
    """,
    re.VERBOSE | re.ASCII,
)
"""What a credential looks like in free text; no text makes the search slow (a test tries)."""


LONGEST_KEPT: Final = 2_000
"""Characters of what was sent that are kept."""

LONGEST_CREDENTIAL: Final = 4_096
"""Characters of the longest credential that is known, a key of RSA with 4,096 bits, and room."""

LONGEST_READ: Final = LONGEST_KEPT + LONGEST_CREDENTIAL
"""Bytes that are looked through for it: no more, as every call waits while one is looked through."""


class Secret:
    """A credential in memory: it prints as stars, and only ``reveal`` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the credential itself; call it where it leaves the process, nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{STARS}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(
            other._value.encode("utf-8", "surrogatepass"),
            self._value.encode("utf-8", "surrogatepass"),
        )

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        msg = "a secret is never written anywhere; hand on its reference instead"
        raise TypeError(msg)


def redact(text: str) -> str:
    """Return ``text`` with everything that looks like a credential replaced by stars."""
    return CREDENTIAL.sub(_starred, text)


def excerpt(body: bytes) -> str:
    """Return the beginning of what was sent as it may be kept: without credentials, and not too long."""
    kept = redact(body[:LONGEST_READ].decode("utf-8", "replace"))
    if len(body) > LONGEST_READ:
        # At the cut may be half a credential, which does not look like one.
        kept = kept[:-LONGEST_CREDENTIAL]
    if len(body) <= LONGEST_READ and len(kept) <= LONGEST_KEPT:
        return kept
    return f"{kept[:LONGEST_KEPT]}… ({len(body):,} bytes)"


def _starred(found: re.Match[str]) -> str:
    """Keep what tells what it was: a name, a scheme, a quotation mark."""
    kept = (found[group] or "" for group in ("url", "basic", "bearer", "name", "quote"))
    return "".join((*kept, STARS))


SHORTEST: Final = 6
"""Characters from which on a part of a credential is one by itself: shorter ones are in many words."""


def conceal(text: str, secret: Secret) -> str:
    """Return ``text`` with a credential replaced by stars, in every form in which it may be sent.

    Unlike :func:`redact` it knows what to look for, so that the rest of the text stays as it is.
    """
    # A longer form goes first: a shorter one may be a part of it.
    for form in sorted(set(_forms(secret.reveal())), key=len, reverse=True):
        text = text.replace(form, STARS)
    return text


def _forms(value: str) -> Iterator[str]:
    """Give a credential as it is, in JSON, in a URL, and as Basic authentication has it."""
    user, _, password = value.partition(":")
    parts = [part for part in (user, password) if len(part) >= SHORTEST]
    for one in filter(None, (value, *parts)):
        yield one
        yield json.dumps(one)[1:-1]
        yield json.dumps(one, ensure_ascii=False)[1:-1]
        yield quote(one, safe="", errors="surrogatepass")
        yield quote_plus(one, errors="surrogatepass")
    for pair in (value, f"{value}:") if value else ():
        yield b64encode(pair.encode("utf-8", "surrogatepass")).decode()
