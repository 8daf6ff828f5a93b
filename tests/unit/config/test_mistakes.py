from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.config import load
from callgate.config.planned import PLANNED
from callgate.config.problems import InvalidSettings
from callgate.errors import Misconfigured
from tests.unit.config.files import problem_of, problems_of

OPENAI = '\n[providers.openai]\napi = "openai"\n'

MISTAKES = {
    "gate.hosst": '[gate]\nhosst = "x"\n',
    "providers.second.api": "[providers.second]\n",
    "providers.third.key": '[providers.third]\napi = "openai"\nkey = "sk-proj-secret"\n',
    "models.smart.use[0]": '[models.smart]\nuse = ["opneai:gpt-5.5"]\n',
    "agents.a.models[1]": '[agents.a]\nmodels = ["openai:*", "nosuch"]\n',
    "agents.b.task_type": '[agents.b]\ntask_type = "nosuch"\n',
    "tasks.research.budget": "[tasks.research]\nbudget = 0.5\n",
    "tasks.notes.needs": "[tasks.notes]\nneeds = 60\n",
    "tools.search.effect": '[tools.search]\npython = "my_tools:search"\neffect = 1\n',
    "tools.refund.http.url": '[tools.refund]\ndescription = "-"\n[tools.refund.http]\nmethod = "PUT"\n',
    "tools.note.http.parameters.id.typ": (
        '[tools.note]\ndescription = "-"\nhttp.url = "https://h/"\nhttp.parameters.id.typ = "string"\n'
    ),
    "caps.day": "[caps]\nday = 50\n",
    "users.per_minut": "[users]\nper_minut = 5\n",
    "limits.per_minute": "[limits]\nper_minute = -1\n",
    'prices."openai:x".input': '[prices."openai:x"]\ninput = 1\noutput = "$1"\n',
    "colour": "[colour]\nred = 1\n",
}
"""Mistakes that have nothing to do with one another, by the key that they are told at."""


@given(st.lists(st.sampled_from(sorted(MISTAKES)), min_size=1, unique=True))
def test_every_mistake_is_told_at_once_in_the_order_of_the_file(chosen: list[str]) -> None:
    found = problems_of("".join(MISTAKES[key] for key in chosen) + OPENAI)
    assert [problem.key for problem in found] == chosen


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ("[gate]\nport = 99999", "at most 65535"),
        ("[gate]\nport = -1", "at least 0"),
        ('[gate]\nport = "80"', "a whole number"),
        ("[gate]\nport = 80.5", "a whole number"),
        ("[gate]\nhost = 5", "text, in quotes"),
        ('[gate]\nrequire_task = "yes"', "true or false"),
        ('[gate]\nstore = "callgate.db"', 'sqlite: and a file, such as "sqlite:callgate.db"'),
        ('[gate]\ndrain = "0s"', 'a length of time up to a year, such as "30s"'),
        ("[gate]\ndrain = -3", "a length of time up to a year"),
        ('[gate]\nmax_body_bytes = "32MiB"', "a number of bytes up to 1,000 GB"),
        ('[gate]\non_disconnect = "dran"', "'drain' or 'cancel'"),
        ('[providers.p]\napi = "openai"\nprice_source = "nobody"', "'fireworks' or 'none'"),
        ('[providers.p]\napi = "openai"\nreported_cost = "openai"', "'openrouter' or 'x-ai'"),
        ('[tasks.x]\nbudget = "€5"', 'US dollars in quotes, such as "$0.50"'),
        ('[tasks.x]\nbudget = "-$5"', "US dollars in quotes"),
        ('[tasks.x]\nbudget = "$99999999999"', "up to a billion"),
        ("[tasks.x]\nretries = 11", "at most 10"),
        ("[tasks.x]\nmax_calls = -1", "at least 0"),
        ("[limits]\nper_minute = -1", "at least 0"),
        ("[limits]\nper_day = 10000000000", "at most 1000000000"),
        ('[providers.x]\napi = "openai"\nconcurrency = 2.5', "a whole number"),
        ('[agents.x]\nbudget_per_day = "-$1"', "US dollars in quotes"),
        ('[users]\nbudget_per_month = "5 EUR"', "US dollars in quotes"),
        ('[users.anna]\nbudget_per_hour = "$99999999999"', "up to a billion"),
        ('[limits]\non_limit = "queue"', "'refuse' or 'wait'"),
        ("[caps]\nday = 50", "US dollars in quotes"),
        ("users = 5", "a table"),
        ("[[users]]\nper_day = 5", "a table"),
        ("[tasks.x]\nretries = true", "a whole number"),
        ("[models.x]\nuse = []", "a list of at least one"),
        ('[models.x]\nuse = "openai:gpt"', "a list, in brackets"),
        ('[models.x]\nuse = ["gpt"]', 'a provider and its model, as "provider:model"'),
        ('[models."a b"]\nuse = ["openai:x"]', "a name without spaces, *, ? and brackets"),
        ('[tasks."a b"]', "a name of letters, digits, dots, hyphens and underscores"),
        ("tasks = 5", "a table"),
        ("gate = [1]", "a table"),
        ("[tasks]\nresearch = 5", "a table"),
        ('[prices.gpt]\ninput = "$1"\noutput = "$1"', '[prices."provider:model"]'),
    ],
)  # fmt: skip
def test_a_mistake_says_what_is_allowed(setting: str, allowed: str) -> None:
    assert allowed in problem_of(setting + OPENAI).allowed


@pytest.mark.parametrize(
    ("setting", "line", "nearest"),
    [
        ("[gate]\nstroe = 1", 2, "store"),
        ("[taks.research]", 1, "tasks"),
        ('[tasks.x]\n\n# why\nbugdet = "$1"', 4, "budget"),
        ('[agents.x]\nmodels = [\n  "openai:*",\n  "opneai:*",\n]', 2, "openai:*"),
        ('[agents.x]\ntask_type = "defualt"', 2, "default"),
        ("[users]\nper_minut = 5", 2, "per_minute"),
        ("[users.anna]\nper_dy = 5", 2, "per_day"),
        ('[caps]\nmonht = "$5"', 2, "month"),
        ("[limits]\nconcurency = 5", 2, "concurrency"),
        ('[providers.x]\napi = "opnai"', 2, "openai"),
        ('[providers.x]\napi = "openai"\nprice_source = "opnrouter"', 3, "openrouter"),
        ('[models.x]\nuse = ["opnai:gpt-5.5"]', 2, "openai"),
    ],
)  # fmt: skip
def test_a_misspelling_is_told_with_its_line_and_the_nearest_valid_name(
    setting: str, line: int, nearest: str
) -> None:
    problem = problem_of(setting + OPENAI)
    assert (problem.line, problem.nearest) == (line, nearest)


HEADERS = {
    "": "",
    "gate": "[gate]\n",
    "providers": '[providers.x]\napi = "openai"\n',
    "models": '[models.x]\nuse = ["openai:y"]\n',
    "agents": "[agents.x]\n",
    "tasks": "[tasks.x]\n",
    "users": "[users]\n",
    "users.anna": "[users.anna]\n",
    "limits": "[limits]\n",
    "caps": "[caps]\n",
}
PRICE = '[prices."openai:x"]\ninput = "$1"\noutput = "$1"\n'


@pytest.mark.parametrize("header", [*HEADERS.values(), PRICE], ids=[*HEADERS, "prices"])
def test_a_setting_that_there_is_not_is_told_in_every_section(header: str) -> None:
    problem = problem_of(f"{header}nonsense = 1\n{OPENAI}")
    assert (problem.found, problem.line) == ("an unknown setting", header.count("\n") + 1)


NOT_ENFORCED = [(section, key) for section, keys in PLANNED.items() for key in sorted(keys)]


@pytest.mark.parametrize(("section", "key"), NOT_ENFORCED, ids=lambda part: part or "file")
def test_what_the_design_has_and_this_version_does_not_enforce_is_refused(
    section: str, key: str
) -> None:
    problem = problem_of(f'{HEADERS[section]}{key} = "x"\n{OPENAI}')
    assert problem.allowed == "nothing yet: this version does not enforce it"
    assert problem.remedy == "remove it: a setting that does not hold is worse than none"


def test_a_value_to_come_is_told_apart_from_a_misspelling() -> None:
    setting = '[providers.x]\napi = "openai"\nkey = "vault:a/b"'
    assert problem_of(setting + OPENAI).remedy == "this version does not have vault: yet"


@pytest.mark.parametrize("place", ["gate:secret@db/x", "gate@db/x?password=secret"])
def test_a_store_with_its_password_is_refused_and_not_shown(place: str) -> None:
    with pytest.raises(InvalidSettings, match="without its password") as found:
        raise_for(f'[gate]\nstore = "postgresql://{place}"\n{OPENAI}')
    assert "secret" not in str(found.value)


@pytest.mark.parametrize(
    "setting",
    ['key = "sk-proj-secret"', 'proxy = "ftp://me:secret@host"', 'base_url = "me:secret@host/v1"'],
)
def test_a_value_that_may_be_a_key_is_not_shown(setting: str) -> None:
    with pytest.raises(InvalidSettings) as found:
        raise_for(f'[providers.x]\napi = "openai"\n{setting}\n')
    assert "secret" not in str(found.value)


def raise_for(text: str) -> None:
    raise InvalidSettings(Path("callgate.toml"), problems_of(text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[gate]\nport = 1\nport = 2\n", 3),
        ("[gate]\nport = 1\nport = 2", 3),
        ("[gate]\n[gate]\n", 2),
        ("a = 1\n\nb = = 2\n", 3),
        ("[models.x]\nuse = [\n", 2),
        ('a = "never closed\n', 1),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, line: int) -> None:
    problem = problem_of(text)
    assert (problem.line, problem.key) == (line, "(syntax)")


def test_a_file_nested_too_deeply_is_refused() -> None:
    with pytest.raises(Misconfigured, match="nested too deeply"):
        problems_of("a = " + "[" * 100_000)


@given(st.text())
def test_no_text_whatever_ends_in_anything_but_settings_or_their_mistakes(text: str) -> None:
    problems_of(text)


def test_bytes_that_are_no_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "callgate.toml"
    path.write_bytes(b"[gate]\n# caf\xe9\n")
    with pytest.raises(InvalidSettings, match=r"callgate\.toml:2 .*\n.*the byte 0xe9") as found:
        load(path, environ={})
    assert found.value.problems[0].line == 2


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "callgate.toml"
    path.write_bytes(b"\xef\xbb\xbf[gate]\r\nport = 4181\r\n")
    assert load(path, environ={}).gate.port == 4181


def test_a_file_that_is_not_there_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no settings file"):
        load(tmp_path / "callgate.toml", environ={})
    with pytest.raises(Misconfigured, match="cannot be read: Is a directory"):
        load(tmp_path, environ={})
