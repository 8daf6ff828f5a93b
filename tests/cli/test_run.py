from __future__ import annotations

import json
import os
import signal

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import ASK_GEMINI, ONE_CALL, SHOW_ENVIRONMENT, UNTIL_REFUSED
from tests.cli.shell import PYTHON, Shell, breaks_field_rules, keys_of, settings_of

pytestmark = pytest.mark.slow

POINTING_AT_THE_GATE = {
    "OPENAI_BASE_URL": "{url}/v1",
    "ANTHROPIC_BASE_URL": "{url}",
    "GOOGLE_GEMINI_BASE_URL": "{url}",
    "CALLGATE_URL": "{url}",
    "CALLGATE_MCP_URL": "{url}/mcp",
}
HOLDING_THE_TASK_KEY = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "CALLGATE_KEY")


async def environment_of_child(shell: Shell, **environ: str) -> dict[str, str]:
    done = await shell.run("run", "--", PYTHON, "-c", SHOW_ENVIRONMENT, environ=environ)
    assert done.status == 0, done.err
    page: dict[str, str] = done.page
    return page


async def test_a_program_finds_the_gate_under_every_usual_name(shell: Shell) -> None:
    found = await environment_of_child(shell)
    url = found["CALLGATE_URL"]
    assert url.startswith("http://127.0.0.1:")
    assert {name: found[name] for name in POINTING_AT_THE_GATE} == {
        name: value.format(url=url) for name, value in POINTING_AT_THE_GATE.items()
    }
    assert len({found[name] for name in HOLDING_THE_TASK_KEY}) == 1
    assert found["CALLGATE_KEY"].startswith("cg_task_")


async def test_a_program_finds_no_real_key(shell: Shell, simulator: Simulator) -> None:
    more = '[providers.other]\napi = "anthropic"\nkey = "env:OTHER_KEY"\n'
    shell.write("callgate.toml", settings_of(simulator, more))
    real = dict.fromkeys(
        ["MY_OPENAI", "OTHER_KEY", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "OPENAI_ADMIN_KEY",
         "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"],
        "sk-real",
    )  # fmt: skip
    found = await environment_of_child(shell, **real)
    assert [name for name, value in found.items() if value == "sk-real"] == []
    assert found.keys() & real.keys() == {"OPENAI_API_KEY", "GEMINI_API_KEY"}


async def test_the_rest_of_the_environment_stays_as_it_is(shell: Shell) -> None:
    mine = {"DATABASE_URL": "x", "OPENAI_ORG_ID": "org", "EMPTY": ""}
    found = await environment_of_child(shell, **mine)
    assert {**shell.environ, **mine}.items() <= found.items()
    assert not {"NO_PROXY", "no_proxy"} & found.keys()


async def test_a_proxy_of_the_environment_is_not_asked_for_the_gate(shell: Shell) -> None:
    found = await environment_of_child(shell, https_proxy="http://proxy:1", no_proxy="intranet")
    assert found["NO_PROXY"] == found["no_proxy"] == "intranet,127.0.0.1"


async def test_input_and_output_are_the_programs_own(shell: Shell) -> None:
    copy = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    process = await shell.start("run", "--", PYTHON, "-c", copy)
    out, err = await process.communicate(b"\x00\xff no text\r\n")
    assert out == b"\x00\xff no text\r\n"
    assert b"callgate receipt" in err


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("import sys; sys.exit(0)", 0),
        ("import sys; sys.exit(2)", 2),
        ("import sys; sys.exit(255)", 255),
        ("raise ValueError", 1),
        ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
        ("import os; os.kill(os.getpid(), 15)", 128 + signal.SIGTERM),
    ],
)
async def test_the_exit_status_is_the_programs(shell: Shell, program: str, status: int) -> None:
    assert (await shell.run("run", "--", PYTHON, "-c", program)).status == status


async def test_a_program_that_is_not_there_and_one_that_cannot_run_are_told_apart(
    shell: Shell,
) -> None:
    missing = await shell.run("run", "--", "no-such-program")
    assert (missing.status, "no program 'no-such-program'" in missing.err) == (127, True)
    path = shell.write("data", "no program")
    unrunnable = await shell.run("run", "--", str(path))
    assert (unrunnable.status, "cannot be run: Permission denied" in unrunnable.err) == (126, True)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "Missing argument"),
        (("--bugdet", "1", "--", "true"), "No such option: --bugdet"),
        (("--budget", "ten", "--", "true"), "'ten' is not an amount"),
        (("--budget", "-1", "--", "true"), "'-1' is not an amount"),
        (("--timeout", "soon", "--", "true"), "'soon' is not a length of time"),
        (("--receipt", "xml", "--", "true"), "'xml' is not one of"),
        (("--config", "no.toml", "--", "true"), "there is no settings file no.toml"),
        (("--agent", "nobody", "--", "true"), "the agent 'nobody' is not in the settings"),
        (("--type", "nothing", "--", "true"), "there is no task type 'nothing'"),
        (("--task", "x" * 129, "--", "true"), "a task id has 1 to 128 characters"),
        (("--receipt-file", "no/folder", "--", "true"), "cannot be written to no/folder"),
    ],
    ids=[
        "no-command",
        "option",
        "money",
        "negative",
        "time",
        "receipt",
        "config",
        "agent",
        "type",
        "task",
        "file",
    ],
)
async def test_what_keeps_the_gate_from_starting_is_told_and_nothing_is_run(
    shell: Shell, args: tuple[str, ...], told: str
) -> None:
    done = await shell.run("run", *args, environ={"COLUMNS": "200"})
    assert (done.status, done.out) == (125, "")
    assert told in done.err
    assert "Traceback" not in done.err


async def test_a_settings_file_with_mistakes_starts_no_gate(shell: Shell) -> None:
    shell.write("callgate.toml", '[gate]\nport = "x"\n[caps]\nday = 5\n')
    done = await shell.run("run", "--", "true")
    assert done.status == 125
    assert "callgate.toml:2  gate.port" in done.err
    assert "callgate.toml:4  caps.day" in done.err


async def test_a_store_that_cannot_be_made_starts_no_gate(shell: Shell) -> None:
    shell.write("file", "")
    shell.write("callgate.toml", '[gate]\nstore = "sqlite:file/x.db"\n[agents.a]\n')
    done = await shell.run("run", "--", "true")
    assert (done.status, "Traceback" in done.err) == (125, False)
    assert "file/x.db" in done.err


async def test_without_a_settings_file_an_unedited_program_is_governed(
    shell: Shell, simulator: Simulator
) -> None:
    done = await shell.run(
        "run", "--receipt", "json", "--receipt-file", "receipt.json", "--", PYTHON, "-c", ONE_CALL,
        environ=keys_of(simulator),
    )  # fmt: skip
    receipt = json.loads((shell.folder / "receipt.json").read_bytes())
    assert (done.status, done.out) == (0, "200\n")
    assert (receipt["settings"], receipt["budget_nano_usd"]) == ("built in", 1_000_000_000)
    assert receipt["spent_nano_usd"] == simulator.bill().total_nano_usd > 0
    (request,) = simulator.requests
    assert json.loads(request.body)["max_completion_tokens"] == 8192
    assert simulator.bill().lines[0].key == "***" + "sk-real-openai"[-4:]


async def test_an_unedited_program_of_googles_sdk_is_governed_too(
    shell: Shell, simulator: Simulator
) -> None:
    real = {
        "GEMINI_API_KEY": "AIza-a-real-gemini-key",
        "GOOGLE_GEMINI_BASE_URL": simulator.gemini_url,
    }
    done = await shell.run("run", "--", PYTHON, "-c", ASK_GEMINI, environ=real)
    assert (done.status, done.out) == (0, "STOP\n")
    assert "calls     1: 1 ok\n" in done.err
    assert simulator.bill().lines[0].key == "***-key"


async def test_the_receipt_on_a_terminal_says_that_the_settings_are_built_in(
    shell: Shell, simulator: Simulator
) -> None:
    done = await shell.run("run", "--", PYTHON, "-c", ONE_CALL, environ=keys_of(simulator))
    assert "settings built in (no callgate.toml here or above); providers: openai" in done.err
    assert "settings  built in, as there is no callgate.toml here or above\n" in done.err
    assert "calls     1: 1 ok\n" in done.err


async def test_a_run_without_any_providers_key_says_which_ones_would_do(shell: Shell) -> None:
    done = await shell.run("run", "--", "true")
    variables = "OPENAI_API_KEY nor ANTHROPIC_API_KEY nor GOOGLE_API_KEY nor GEMINI_API_KEY"
    assert f"providers: none, as neither {variables} is set" in " ".join(done.err.split())


@pytest.mark.parametrize("place", [[], ["--receipt-file", "receipt.json"]])
async def test_a_receipt_in_json_keeps_the_field_rules(
    shell: Shell, simulator: Simulator, place: list[str]
) -> None:
    shell.write("callgate.toml", settings_of(simulator))
    done = await shell.run(
        "run", "--budget", "0.07", "--receipt", "json", *place, "--", PYTHON, "-c", UNTIL_REFUSED,
        environ={"MY_OPENAI": "sk"},
    )  # fmt: skip
    text = (shell.folder / "receipt.json").read_text() if place else done.err
    receipt = json.loads(text)
    assert breaks_field_rules(receipt) == []
    assert receipt["refused"][0]["code"] == "over_budget"
    assert (receipt["settings"], receipt["ok"] > 0) == ("file", True)


async def test_a_receipt_for_people_can_go_to_a_file(shell: Shell) -> None:
    done = await shell.run("run", "--receipt-file", "receipt.txt", "--", "true")
    assert "callgate receipt" not in done.err
    assert (shell.folder / "receipt.txt").read_text().startswith("callgate receipt  task_")


async def test_a_budget_may_only_lower_the_task_types_and_one_is_told(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator))
    lower = await shell.run("run", "--budget", "0.25", "--", "true")
    assert "of $0.25" in lower.err
    higher = await shell.run("run", "--budget", "5", "--", "true")
    assert "of $0.50" in higher.err
    assert "the task's budget is $0.50: --budget may only lower" in higher.err


async def test_a_run_may_be_narrowed_to_some_models_and_tools(
    shell: Shell, simulator: Simulator
) -> None:
    narrow = ("--models", "anthropic:*", "--models", "smart", "--tools", "far.*", "--task", "t")
    done = await shell.run("run", *narrow, "--", PYTHON, "-c", ONE_CALL, environ=keys_of(simulator))
    assert (done.status, done.out) == (0, "403\n")
    (row,) = (await shell.run("tasks", "--json")).page
    assert (row["models"], row["tools"]) == (["anthropic:*", "smart"], ["far.*"])


async def test_a_run_that_names_a_tool_that_its_agent_may_not_call_runs_nothing(
    shell: Shell,
) -> None:
    done = await shell.run("run", "--tools", "note", "--", PYTHON, "-c", ONE_CALL)
    assert (done.status, done.out) == (125, "")
    assert "the agent 'default' may not call 'note'; its tools are: none" in done.err


async def test_a_task_goes_on_with_what_it_has_spent(shell: Shell, simulator: Simulator) -> None:
    command = ("run", "--task", "mine", "--receipt", "json", "--", PYTHON, "-c", ONE_CALL)
    receipts = [
        json.loads((await shell.run(*command, environ=keys_of(simulator))).err.partition("\n")[2])
        for _ in range(2)
    ]
    assert [receipt["calls"] for receipt in receipts] == [1, 2]
    assert 0 < receipts[0]["spent_nano_usd"] < receipts[1]["spent_nano_usd"]
    assert receipts[1]["spent_nano_usd"] == simulator.bill().total_nano_usd


async def test_a_program_that_never_gives_up_is_stopped_at_its_budget(
    shell: Shell, simulator: Simulator
) -> None:
    done = await shell.run(
        "run", "--task", "t", "--budget", "0.07", "--", PYTHON, "-c", UNTIL_REFUSED,
        environ=keys_of(simulator),
    )  # fmt: skip
    (row,) = (await shell.run("tasks", "--json")).page
    receipt = (await shell.run("tasks", "t", "--json")).page
    bill = simulator.bill().total_nano_usd
    assert receipt["spent_nano_usd"] == row["spent_nano_usd"] == bill
    assert 0 < bill <= row["budget_nano_usd"] == 70_000_000
    assert "1 refused over_budget" in done.err


async def test_a_program_leaves_others_running_and_the_run_ends(shell: Shell) -> None:
    leave = f"import subprocess; print(subprocess.Popen([{PYTHON!r}, '-c', 'import signal; signal.pause()'], stdout=-3, stderr=-3).pid)"
    done = await shell.run("run", "--", PYTHON, "-c", leave)
    assert done.status == 0
    os.kill(int(done.out), signal.SIGKILL)
