"""What two versions differ in, by part, by field and as text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.prompt import digest
from gateway.promptfiles.difference import differences, text
from gateway.promptfiles.prompty import PromptFile, parse
from tests.support.prompts import prompt_file

SHOTS = "You are kind.\n\nuser:\n{}\n\nassistant:\nYes.\n\nuser:\nReally?"


def told(before: PromptFile, after: PromptFile) -> list[tuple[str, str, Any, Any]]:
    """Parts by their text alone."""
    return [
        (each.where, each.change, *(_text(value) for value in (each.before, each.after)))
        for each in differences(before, after)
    ]


def _text(value: Any) -> Any:
    return value["text"] if isinstance(value, dict) and set(value) == {"role", "text"} else value


def test_the_same_has_no_differences() -> None:
    assert told(prompt_file(), prompt_file()) == []
    assert text(prompt_file(), prompt_file(), ("a/1", "a/2")) == ""


def test_a_changed_part_and_its_text() -> None:
    before, after = prompt_file("Be kind.\nBe short."), prompt_file("Be kind.\nBe very short.\nNo lists.")
    assert told(before, after) == [
        ("messages[0].system", "changed", "Be kind.\nBe short.", "Be kind.\nBe very short.\nNo lists.")
    ]
    found = text(before, after, ("a/1", "a/2"))
    assert found.startswith("--- a/1\n+++ a/2\n@@ ")
    assert "-Be short.\n+Be very short.\n+No lists.\n" in found


def test_an_added_example_leaves_the_others_alone() -> None:
    less = prompt_file(SHOTS.format("Are you?"))
    more = prompt_file(SHOTS.format("Are you?") + "\n\nassistant:\nReally.\n\nuser:\nSure?")
    assert told(less, more) == [
        ("messages[3].few_shot", "added", None, "Really?"),
        ("messages[4].few_shot", "added", None, "Really."),
        ("messages[5].user", "changed", "Really?", "Sure?"),
    ]
    assert [change for _, change, _, _ in told(more, less)] == ["removed", "removed", "changed"]


@pytest.mark.parametrize(
    ("front", "where", "change", "before", "after"),
    [
        ("model: {id: gpt-4o}\n", "model.id", "added", None, "gpt-4o"),
        (
            "model: {options: {temperature: 0.5}}\n",
            *("model.options.temperature", "added", None, 0.5),
        ),
        ("gateway: {client_system: refuse}\n", "client_system", "changed", "keep", "refuse"),
        (
            "inputs: [{name: tier, kind: string, default: gold}]\n",
            *("inputs.tier", "added", None, {"name": "tier", "kind": "string", "default": "gold"}),
        ),
        ("metadata: {owner: ann}\n", "metadata.owner", "added", None, "ann"),
        ("metadata: {ticket: 7}\n", "metadata.extra", "added", None, {"ticket": 7}),
    ],
)
def test_fields_are_told_by_their_path(front: str, where: str, change: str, before: Any, after: Any) -> None:
    assert told(prompt_file(), prompt_file(front=front)) == [(where, change, before, after)]


def test_numbers_are_compared_as_the_digest_sees_them() -> None:
    one, whole, true = (
        prompt_file(front=f"model: {{options: {{additionalProperties: {{x: {value}}}}}}}\n")
        for value in ("1", "1.0", "true")
    )
    assert told(one, whole) == []
    assert told(one, true) == [("model.options.x", "changed", 1, True)]


def test_blank_space_at_a_parts_end_is_a_difference() -> None:
    body = "---\nname: a\n---\nsystem:\nBe kind.\n{}{{# part: output_format #}}\nBe short.\n"
    one, two = (parse(body.format(between), source="a") for between in ("", "\nsystem:\n"))
    assert told(one, two) == [("messages[0].system", "changed", "Be kind.\n", "Be kind.")]


LINES = st.lists(st.sampled_from(["Be kind.", "Be short.", "No lists.", "Cite."]), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(LINES, LINES)
def test_no_difference_is_shown_just_where_the_digests_agree(before: list[str], after: list[str]) -> None:
    one, two = (prompt_file("\n\nuser:\n".join(lines)) for lines in (before, after))
    same = digest(one.content) == digest(two.content)
    assert same == (not differences(one, two))
    assert same == (text(one, two, ("a", "b")) == "")
