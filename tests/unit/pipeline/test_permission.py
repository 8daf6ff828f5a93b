"""Which models an agent may use, by whichever name it asks for them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from callgate.call import Candidate
from callgate.config.policies import Settings
from callgate.errors import Denied, Unknown
from callgate.pipeline.permission import listed, look_up, permitted
from callgate.pipeline.rights import Right
from tests.unit.pipeline.road import settings

ONE = Candidate(provider="first", model="a")


def may(*models: str, scope: str = "agent:worker") -> Right:
    """What one place allows."""
    return Right(kind="models", rule="agents.worker.models", scope=scope, names=models)


def without_second(made: Settings) -> Settings:
    """Return settings with one provider for each api."""
    providers = {name: policy for name, policy in made.providers.items() if name != "second"}
    return msgspec.structs.replace(made, providers=providers)


@pytest.mark.parametrize("name", ["first:a", "first/a"])
def test_a_full_name_is_written_with_a_colon_or_a_slash(tmp_path: Path, name: str) -> None:
    assert look_up(settings(tmp_path), name, api="openai") == (ONE,)


def test_the_name_of_a_route_comes_before_anything_else(tmp_path: Path) -> None:
    names = [candidate.name for candidate in look_up(settings(tmp_path), "smart", api="anthropic")]
    assert names == ["first:a", "second:b"]


def test_a_bare_name_belongs_to_the_one_provider_of_the_doors_api(tmp_path: Path) -> None:
    one = without_second(settings(tmp_path))
    assert look_up(one, "a", api="openai") == (ONE,)
    assert look_up(one, "x/y", api="openai") == (Candidate(provider="first", model="x/y"),)


def test_a_bare_name_is_nobodys_where_two_providers_could_serve_it(tmp_path: Path) -> None:
    assert look_up(settings(tmp_path), "a", api="openai") == ()


def test_a_permission_for_a_route_covers_all_its_candidates(tmp_path: Path) -> None:
    candidates = permitted(settings(tmp_path), [may("smart")], "smart", api="openai")
    assert [candidate.name for candidate in candidates] == ["first:a", "second:b"]


def test_without_it_each_candidate_needs_its_own(tmp_path: Path) -> None:
    candidates = permitted(settings(tmp_path), [may("second:*")], "smart", api="openai")
    assert [candidate.name for candidate in candidates] == ["second:b"]


@pytest.mark.parametrize("models", [(), ("first:b",), ("FIRST:*",), ("second:*",)])
def test_what_is_not_named_is_denied(tmp_path: Path, models: tuple[str, ...]) -> None:
    with pytest.raises(Denied, match="may not use 'first:a'") as denied:
        permitted(settings(tmp_path), [may(*models)], "first:a", api="openai")
    assert denied.value.reason.fix == 'add "first:a" to models under [agents.worker]'


def test_an_unknown_name_is_told_with_what_the_agent_may_use(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match=r"'zzz'\. This agent may use: plain, smart"):
        permitted(settings(tmp_path), [may("smart", "plain")], "zzz", api="openai")
    with pytest.raises(Unknown, match="may use: none by name"):
        permitted(settings(tmp_path), [may()], "zzz", api="openai")


def test_the_list_of_models_holds_routes_and_full_names_and_no_globs(tmp_path: Path) -> None:
    shown = listed(settings(tmp_path), [may("smart", "second:*", "first:a", "first:x[y]")])
    assert shown == ("smart", "first:a")


def test_of_several_places_each_must_cover_a_candidate(tmp_path: Path) -> None:
    places = [may("smart"), may("second:*", "first:a"), may("second:b")]
    (candidate,) = permitted(settings(tmp_path), places, "smart", api="openai")
    assert candidate.name == "second:b"


def test_the_place_that_does_not_cover_it_is_told(tmp_path: Path) -> None:
    places = [may("*"), may("second:*", scope="type:default")]
    with pytest.raises(Denied, match="a task of the type 'default' may not use 'plain'") as denied:
        permitted(settings(tmp_path), places, "plain", api="openai")
    assert denied.value.reason.fix == 'add "plain" to models under [tasks.default]'


def test_only_what_every_place_covers_is_listed(tmp_path: Path) -> None:
    shown = listed(settings(tmp_path), [may("*"), may("plain", "first:a")])
    assert shown == ("plain", "first:a")
