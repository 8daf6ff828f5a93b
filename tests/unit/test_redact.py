"""No key survives, whatever stands around it; ordinary words do; no text makes it slow."""

from __future__ import annotations

import copy
import json
import string
import traceback
from multiprocessing import Pipe
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.keys import new_key
from callgate.redact import LONGEST_KEPT, LONGEST_READ, Secret, conceal, excerpt, redact

LETTERS = string.ascii_letters + string.digits
WORDS = LETTERS + "-_"


def secret(alphabet: str, least: int, most: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most)


SHAPES: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "OpenAI": ("sk-", secret(LETTERS, 40, 50)),
    "OpenAI project": ("sk-proj-", secret(WORDS, 40, 160)),
    "Anthropic": ("sk-ant-api03-", secret(WORDS, 90, 100)),
    "OpenRouter": ("sk-or-v1-", secret("0123456789abcdef", 64, 64)),
    "Bedrock": ("ABSK", secret(LETTERS + "+", 60, 120)),
    "Bedrock for a while": ("bedrock-api-key-", secret(LETTERS + "+", 60, 400)),
    "Google": ("AIza", secret(WORDS, 35, 35)),
    "Google OAuth": ("ya29.", secret(WORDS, 60, 200)),
    "Groq": ("gsk_", secret(LETTERS, 52, 52)),
    "xAI": ("xai-", secret(LETTERS, 80, 80)),
    "Perplexity": ("pplx-", secret(LETTERS, 48, 48)),
    "Hugging Face": ("hf_", secret(LETTERS, 34, 34)),
    "Replicate": ("r8_", secret(LETTERS, 37, 37)),
    "GitHub": ("ghp_", secret(LETTERS, 36, 36)),
    "GitHub server": ("ghs_", secret(LETTERS, 36, 36)),
    "GitHub fine-grained": ("github_pat_", secret(LETTERS + "_", 82, 82)),
    "GitLab": ("glpat-", secret(WORDS, 20, 20)),
    "Slack": ("xoxb-", secret(LETTERS + "-", 40, 60)),
    "Stripe": ("sk_live_", secret(LETTERS, 24, 99)),
    "npm": ("npm_", secret(LETTERS, 36, 36)),
    "AWS": ("AKIA", secret(string.ascii_uppercase + string.digits, 16, 16)),
    "AWS session": ("ASIA", secret(string.ascii_uppercase + string.digits, 16, 16)),
    "this gate's agent": ("cg_agent_", secret(WORDS, 43, 43)),
    "this gate's task": ("cg_task_", secret(WORDS, 43, 43)),
    "JSON web token": ("eyJ", secret(WORDS, 20, 60).map(lambda text: f"{text}.{text}.{text}")),
}

BESIDE = [" ", "\n", '"', "'", "=", ":", "(", "/", ",", "{", "é", "…", "`"]


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data(), before=st.text(), after=st.text())
def test_no_key_survives_in_any_text(
    shape: str, data: st.DataObject, before: str, after: str
) -> None:
    prefix, rest = SHAPES[shape]
    key = prefix + data.draw(rest.filter(lambda text: any(map(str.isdigit, text))))
    left, right = data.draw(st.sampled_from(BESIDE)), data.draw(st.sampled_from(BESIDE))
    assert key not in redact(f"{before}{left}{key}{right}{after}")
    assert redact(f"{left}{key}{right}") == f"{left}***{right}"


@given(st.sampled_from(["agent", "task"]), st.text())
def test_no_key_of_this_gate_survives(kind: Any, around: str) -> None:
    key = new_key(kind)
    assert key not in redact(f"{around} {key} {around}")


NAMES = [
    "api_key", "apikey", "api-key", "x-api-key", "API_KEY", "OPENAI_API_KEY", "access_token",
    "refresh_token", "client_secret", "secret", "password", "Authorization", "aws_secret_access_key",
    "private_key", "Cookie", "token",
]  # fmt: skip
VALUES = ["hunter2hunter2", "correcthorsebatterystaple", "Zm9vOmJhcg==", "p4ss-w0rd!"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", VALUES)
def test_what_stands_beside_the_name_of_a_credential_does_not_survive(
    name: str, value: str
) -> None:
    page = json.dumps({name: value, "then": 1})
    for text in (page, json.dumps({"body": page}), f"{name}={value}&x=1", f"{name}: {value}"):
        told = redact(text)
        assert value not in told
        assert name in told, "what it was can still be told"
    assert json.loads(redact(page)) == {name: "***", "then": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("postgresql://me:s3cret@db/x", "postgresql://***@db/x"),
        ("redis://:p@ss/w0rd", "redis://***@ss/w0rd"),
        ("https://a:b@c@host", "https://***@host"),
        ("https://abcdefghijklmnop1@host/x", "https://***@host/x"),
        ("Bearer abcdef123456, again", "Bearer ***, again"),
        ("authorization: bearer abcdef123456", "authorization: ***"),
        ("Basic dXNlcjpwYXNz", "Basic ***"),
        ("key sk-test-12345678.", "key ***."),
    ],
)
def test_a_credential_is_replaced_and_nothing_else(text: str, told: str) -> None:
    assert redact(text) == told


def test_a_private_key_is_replaced_to_its_end_or_the_texts() -> None:
    begin, end = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
    assert redact(f"a {begin}\nMIIE\nabc\n{end} b") == "a *** b"
    assert redact(f"a {begin}\nMIIE\nabc") == "a ***"
    assert redact(f"a {begin.replace('RSA ', '')}\nMIIE") == "a ***"


@pytest.mark.parametrize(
    "text",
    [
        "import sk-learn and scikit-learn, then xai-sdk or pk-tools",
        "the task-manager is risk-free, and disk-encryption-with-passphrases2024 too",
        "hf_hub_download and npm_config_registry are names",
        "max_tokens: 100000000, prompt_tokens=12345678, max_output_tokens = 8192",
        "Bearer of bad news; a bearer token is missing; Basic Authentication is required",
        "the password is wrong; unexpected token; secret: nothing; token: none",
        "https://host:8080/a@b, ssh://git@github.com/x, mail me@example.com at 12:30@noon",
        "send 'Authorization: Bearer cg_…' or 'x-api-key: cg_…'",
        "the environment variable OPENAI_API_KEY is not set; export OPENAI_API_KEY=…",
        'key = "env:OPENAI_API_KEY" under [providers.openai]',
        "claude-sonnet-5-20260401, gpt-5.5-2026-04-23, call_0ad21f17ad7cc51d594f9a46",
        "genai-prices 0.2.3 2026-11-25 openai/gpt-5.5",
    ],
)
def test_ordinary_words_survive(text: str) -> None:
    assert redact(text) == text


@given(st.text())
def test_what_is_redacted_stays_so(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


HOSTILE = [
    "sk-", "eyJ-", "a", "token", "token\\", "bearer ", "://a:", "-----BEGIN PRIVATE KEY-----",
    "basic =a", 'token="', "api_key:", "AIza-", "SG.a", "hf_", "gho_", " ", "=", "\\", "://", "ya29.",
    "basic a", "Authorization: ", "password='\\", "secret_access_key", "cookie: bearer ", "sk_sk",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_makes_the_search_go_back_and_forth(piece: str) -> None:
    """Half a megabyte takes well under a second; a search that goes back would take hours."""
    text = piece * (500_000 // len(piece))
    assert len(redact(text)) <= len(text) + 3


VALUE = "sk-this-is-the-secret-1234"


@pytest.fixture
def kept() -> Secret:
    return Secret(VALUE)


def test_a_secret_shows_itself_to_nobody(kept: Secret) -> None:
    shown = [repr(kept), str(kept), f"{kept}", f"{[kept]!r} {kept!s:>20}", f"{(kept,)}"]
    assert [text for text in shown if VALUE in text or "***" not in text] == []
    assert json.dumps(kept, default=str) == "\"Secret('***')\""
    assert not hasattr(kept, "__dict__")


def test_a_secret_is_written_nowhere(kept: Secret) -> None:
    here, there = Pipe()
    with here, there, pytest.raises(TypeError, match="hand on its reference instead"):
        there.send(kept)
    for write in (json.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError):
            write(kept)
    with pytest.raises(TypeError):
        format(kept, "s>10")


def test_a_secret_does_not_stand_in_a_traceback(kept: Secret) -> None:
    with pytest.raises(ValueError) as caught:
        int(str(kept))
    page = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(page.format())
    assert "kept = Secret('***')" in shown
    assert VALUE not in shown


def test_a_secret_gives_its_value_to_who_asks_for_it(kept: Secret) -> None:
    assert kept.reveal() == VALUE


def test_secrets_are_equal_by_their_value(kept: Secret) -> None:
    assert kept == Secret(VALUE)
    assert kept != Secret(VALUE + "x")
    assert kept != VALUE
    assert len({kept, Secret(VALUE), Secret("ü\udc80")}) == 2
    assert Secret("ü\udc80") == Secret("ü\udc80")


def test_a_copy_of_a_secret_is_the_secret(kept: Secret) -> None:
    assert copy.copy(kept) is copy.deepcopy({"a": [kept]})["a"][0] is kept


def test_an_excerpt_of_what_is_short_is_all_of_it() -> None:
    assert excerpt(b'{"password": "hunter2hunter2"}') == '{"password": "***"}'


def test_an_excerpt_tells_how_long_the_whole_is() -> None:
    kept = excerpt(b"x " * 5_000)
    assert len(kept) < LONGEST_KEPT + 50
    assert kept.endswith("… (10,000 bytes)")


def test_an_excerpt_never_ends_in_half_a_credential() -> None:
    key = b"sk-" + b"a1" * 1_000
    kept = excerpt(b"k " * ((LONGEST_READ - 100) // 2) + key)
    assert "sk-" not in kept


def test_an_excerpt_that_stars_shorten_has_no_half_credential_either() -> None:
    kept = excerpt(b"sk-0123456789abcdef " * 3_300 + b"sk-" + b"b2" * 50)
    assert "sk-" not in kept


def test_an_excerpt_of_what_is_no_text_is_one() -> None:
    assert excerpt(b"\xff\xfe") == "\ufffd\ufffd"


FORMS = [
    'k"ey/1+ 2',
    r"k\"ey/1+ 2",
    "k%22ey%2F1%2B%202",
    "k%22ey%2F1%2B+2",
    "ayJleS8xKyAy",
    "ayJleS8xKyAyOg==",
]
"""One credential as it is, in JSON, in a URL, in a form, and as Basic has it."""


@pytest.mark.parametrize("form", FORMS)
def test_a_credential_that_is_known_is_found_in_every_form(form: str) -> None:
    assert conceal(f"before {form} after", Secret('k"ey/1+ 2')) == "before *** after"


def test_both_halves_of_a_user_and_a_password_are_found() -> None:
    secret = Secret("ann:password")
    assert conceal("password, ann:password, ann", secret) == "***, ***, ann"


@given(st.text(), st.text(st.characters(exclude_categories=()), min_size=6))
def test_what_is_concealed_is_gone_and_the_rest_is_there(text: str, value: str) -> None:
    hidden = conceal(f"<{text}|{value}>", Secret(value))
    assert value not in hidden or value in "***"
    assert conceal("", Secret(value)) == ""
