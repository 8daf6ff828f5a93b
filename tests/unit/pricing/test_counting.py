"""Counting with a tokenizer that is on this machine, and saying so where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from callgate.pricing.counting import (
    CL100K,
    FOLDER,
    LONGEST_CHARACTERS,
    O200K,
    PIECE_CHARACTERS,
    Count,
    Tokenizers,
    Uncounted,
    Vocabulary,
)
from tests.unit.pricing.vocabularies import put

BOTH = [O200K, CL100K]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both vocabularies, where tiktoken itself looks for them too."""
    folder = tmp_path_factory.mktemp("vocabularies")
    for vocabulary in BOTH:
        put(vocabulary, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        yield folder


@pytest.mark.parametrize("vocabulary", BOTH, ids=lambda each: each.name)
@given(st.text(max_size=200))
def test_a_text_has_as_many_tokens_as_tiktoken_itself_makes(
    folder: Path, vocabulary: Vocabulary, text: str
) -> None:
    encoding = tiktoken.get_encoding(vocabulary.name)
    assert Tokenizers(folder).count(text, vocabulary) == len(encoding.encode_ordinary(text))


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-5.5", O200K), ("gpt-4o-mini", O200K), ("o3", O200K), ("gpt-oss-120b", O200K),
        ("gpt-4", CL100K),
    ],
)  # fmt: skip
def test_a_model_has_the_vocabulary_that_tiktoken_names(
    folder: Path, model: str, vocabulary: Vocabulary
) -> None:
    assert Tokenizers(folder).find(model) == vocabulary


def test_a_model_that_tiktoken_does_not_know_has_none(folder: Path) -> None:
    found = Tokenizers(folder).find("house-model")
    assert found == Uncounted("tiktoken knows no tokenizer of house-model")


def test_a_vocabulary_that_is_not_here_is_told_with_the_command_that_gets_it(
    tmp_path: Path,
) -> None:
    flaw = Tokenizers(tmp_path).flaw or ""
    assert f"the vocabulary o200k_base is not at {tmp_path}" in flaw
    assert "tiktoken.get_encoding('o200k_base')" in flaw


def test_a_folder_that_is_not_named_is_told() -> None:
    assert (Tokenizers(None).flaw or "").startswith("TIKTOKEN_CACHE_DIR is not set")


def test_one_vocabulary_of_two_is_enough_for_its_models(tmp_path: Path) -> None:
    put(CL100K, tmp_path)
    tokenizers = Tokenizers(tmp_path)
    assert (tokenizers.flaw, tokenizers.find("gpt-4")) == (None, CL100K)
    assert isinstance(tokenizers.find("gpt-5.5"), Uncounted)


def test_a_vocabulary_that_was_changed_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Tiktoken itself would delete it, and download another."""
    path = put(O200K, tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    assert "is not the vocabulary o200k_base" in (Tokenizers(tmp_path).flaw or "")
    assert path.exists()


def test_a_vocabulary_that_is_not_here_is_not_fetched(tmp_path: Path) -> None:
    assert isinstance(Tokenizers(tmp_path).find("gpt-5.5"), Uncounted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("character", [" ", "a", "\n", "!"])
def test_a_run_of_one_character_that_would_overflow_tiktoken_is_counted(
    folder: Path, character: str
) -> None:
    tokens = Tokenizers(folder).count(character * 1_000_000, O200K)
    assert isinstance(tokens, int)
    assert 1_000_000 / 128 <= tokens <= 1_000_000


def test_a_cut_adds_a_token_at_the_most(folder: Path) -> None:
    text = "The gate holds the money before a call leaves. " * 2_000
    whole = len(tiktoken.get_encoding("o200k_base").encode_ordinary(text))
    counted = Tokenizers(folder).count(text, O200K)
    assert isinstance(counted, int)
    assert whole <= counted <= whole + 2 * (len(text) // PIECE_CHARACTERS)


def test_a_text_longer_than_any_model_takes_is_not_counted(folder: Path) -> None:
    long = "a" * (LONGEST_CHARACTERS + 1)
    assert isinstance(Tokenizers(folder).count(long, O200K), Uncounted)


def test_a_count_is_held_with_a_margin_that_is_rounded_up_and_what_it_leaves_out() -> None:
    assert Count(tokens=100, by="o200k_base").bound_tokens == 105
    assert Count(tokens=101, by="o200k_base", beside_tokens=7).bound_tokens == 107 + 7
