"""The program that ``callgate run`` starts: what it finds in its environment, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from callgate.doors.cli.running import Entry
from callgate.doors.cli.screen import complain

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
KILLED_BY_SIGNAL: Final = 128
"""Added to the number of a signal that ended the program.

Source: POSIX.1-2024, Shell Command Language, "Exit Status for Commands", for all three.
"""

TAKEN_OUT: Final = frozenset({
    "ANTHROPIC_AUTH_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AZURE_OPENAI_AD_TOKEN",
    "AZURE_OPENAI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_ENTERPRISE",
    "GOOGLE_GENAI_USE_VERTEXAI", "OPENAI_ADMIN_KEY",
})  # fmt: skip
"""Variables of the SDKs that hold a provider's key beside the ones that the gate sets, or that lead
past it: with the last two Google's asks another service, at an address of its own.

Source: google-genai 3.6 (``BaseApiClient``).
"""

NO_PROXY: Final = ("NO_PROXY", "no_proxy")
"""Where hosts stand that no proxy is asked for; programs read one or the other."""

FORWARDED: Final = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2")

Child = subprocess.Popen[bytes]

KEYBOARD: Final = frozenset({"SIGINT", "SIGQUIT"})
"""Signals of the keyboard: a terminal sends them to the program too."""


def child_environment(environ: Mapping[str, str], entry: Entry) -> dict[str, str]:
    """Return the program's environment: the usual variables point at the gate, real keys are gone."""
    hidden = entry.hidden | TAKEN_OUT
    kept = {name: value for name, value in environ.items() if name not in hidden}
    url, key = entry.url, entry.key
    return {
        **kept,
        **_past_proxies(kept, urlsplit(url).hostname or ""),
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": key,
        "CALLGATE_URL": url,
        "CALLGATE_MCP_URL": f"{url}/mcp",
        "CALLGATE_KEY": key,
    }


def _past_proxies(environ: Mapping[str, str], host: str) -> dict[str, str]:
    """Return what keeps the proxies of the environment, if there are any, from being asked for a host."""
    if not any(name.lower().endswith("_proxy") for name in environ):
        return {}
    listed = next(filter(None, (environ.get(name) for name in NO_PROXY)), None)
    return dict.fromkeys(NO_PROXY, f"{listed},{host}" if listed else host)


async def run_child(command: list[str], environ: Mapping[str, str]) -> int:
    """Run a program to its end, passing signals on.

    Args:
        command: The program and its arguments; standard input, output and error are ours.
        environ: Its whole environment.

    Returns:
        The exit status as a shell tells it.
    """
    running: list[Child] = []
    with _forwarding(running):
        try:
            running.append(_start(command, environ))
        except OSError as error:
            return _not_started(command[0], error)
        code = await asyncio.to_thread(running[0].wait)
    return KILLED_BY_SIGNAL - code if code < 0 else code


def _start(command: list[str], environ: Mapping[str, str]) -> Child:
    # Not the loop's own way: uvloop's sets signals back that are ignored, as nohup wants them.
    # What runs is the choice of the one who typed it.
    return subprocess.Popen(command, env=environ)  # noqa: S603


@contextmanager
def _forwarding(running: Sequence[Child]) -> Generator[None]:
    """Pass signals on to whatever is running, until the end of the block."""
    loop = asyncio.get_running_loop()
    numbers = [signal.Signals[name] for name in FORWARDED]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, _forward, running, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _not_started(program: str, error: OSError) -> int:
    """Say why a program did not start; return the exit status that a shell gives for it."""
    if isinstance(error, FileNotFoundError):
        complain(f"there is no program {program!r} here or on the PATH")
        return NOT_FOUND
    complain(f"{program!r} cannot be run: {error.strerror}")
    return NOT_EXECUTABLE


def _forward(running: Sequence[Child], number: signal.Signals) -> None:
    if number.name in KEYBOARD and _is_in_foreground():
        return
    for child in running:
        child.send_signal(number)


def _is_in_foreground() -> bool:
    """Whether our group is a terminal's foreground: what is typed there reaches the program too."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
