"""Versions back as files, and side by side; on the store and through the admin API alike."""

import pytest

from tests.cli.conftest import Cli
from tests.support.prompts import prompt_text

RICH = """\
---
name: support-agent
description: Answers product questions
metadata: {owner: support-team, change: "shorter", canary: {suite: evals/s.yaml, note: 1}, ticket: 7}
model: {id: gpt-4o-mini, provider: openai, options: {temperature: 0.2, maxOutputTokens: 400}}
inputs:
  - {name: question, kind: string, required: true}
  - {name: tier, kind: string, default: gold, enumValues: [gold, free]}
outputs: [{name: answer, kind: string, required: true}]
gateway: {client_system: refuse, locked: [temperature]}
---
system:
You are kind to {{ tier }} customers. LONG
{# part: output_format #}
[bold]JSON[/bold] only.

user:
Is it äöü?

assistant:
{"answer": "yes"}

user:
{{ question }}
""".replace("LONG", "Never give up. " * 40)


def test_what_is_pulled_is_the_same_version_when_pushed(cli: Cli) -> None:
    first = cli("push", cli.write(RICH), "--json").json[0]
    printed = cli("pull", "support-agent", "1").out
    again = cli("push", cli.write(printed), "--json").json[0]
    assert (again["version"], again["digest"]) == (1, first["digest"])
    assert (again["created"], again["metadata_changed"]) == (False, False)
    written = cli("pull", "support-agent", "newest", "--output", str(cli.folder), "--json").json
    assert written["file"] == printed == (cli.folder / "support-agent.prompty").read_text()
    assert cli("pull", "support-agent", "1").out == printed  # a file of its own is written the same again


def test_a_file_that_says_something_else_is_kept(cli: Cli) -> None:
    cli("push", cli.write(prompt_text("one")))
    mine = cli.folder / "mine.prompty"
    mine.write_text("my work")
    refused = cli("pull", "support-agent", "1", "--output", str(mine))
    assert (refused.code, mine.read_text()) == (1, "my work")
    assert cli("pull", "support-agent", "1", "--output", str(mine), "--force").code == 0
    assert "one" in mine.read_text()


def test_without_a_live_version_a_number_is_asked_for(cli: Cli) -> None:
    cli("push", cli.write(prompt_text("one")))
    result = cli("pull", "support-agent")
    assert (result.code, result.err) == (
        1,
        "error: support-agent has no live version: name one by its number\n",
    )


def test_versions_and_files_side_by_side(cli: Cli) -> None:
    cli("push", cli.write(RICH))
    cli("deploy", "support-agent", "1", "--emergency", "--reason", "a test")
    path = cli.write(RICH.replace("Is it äöü?", "Is it [red]?").replace("0.2", "0.7"))
    found = cli("diff", "support-agent", "live", path, "--json").json
    assert (found["before"], found["after"]) == ("support-agent/1", path)
    assert found["parts"] == [
        {
            "where": "messages[1].few_shot",
            "change": "changed",
            "before": {"role": "user", "text": "Is it äöü?"},
            "after": {"role": "user", "text": "Is it [red]?"},
        },
        {"where": "model.options.temperature", "change": "changed", "before": 0.2, "after": 0.7},
    ]
    shown = cli("diff", "support-agent", "live", path)
    assert "messages[1].few_shot (user): changed" in shown.out
    assert "+Is it [red]?" in shown.out
    text = cli("diff", "support-agent", "live", path, "--text")
    assert text.out.startswith(f"--- support-agent/1\n+++ {path}\n")
    assert text.out == found["text"]


@pytest.mark.parametrize("side", ["0", "9", "best", "-", "none.prompty"])
def test_a_side_that_is_none_is_refused(cli: Cli, side: str) -> None:
    cli("push", cli.write(prompt_text("one")))
    result = cli("diff", "support-agent", "1", side)
    assert (result.code in (1, 2), result.out) == (True, "")
    assert result.err.startswith("error: ")
