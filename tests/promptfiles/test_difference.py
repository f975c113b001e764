"""What two versions differ in, by part, by field and as text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.prompt import digest
from gateway.promptfiles.difference import Difference, difference
from gateway.promptfiles.prompty import PromptFile, parse
from tests.support.prompts import prompt_file

NAMES = ("a/1", "a/2")
SHOTS = "You are kind.\n\nuser:\n{}\n\nassistant:\nYes.\n\nuser:\nReally?"


def between(before: PromptFile, after: PromptFile) -> Difference:
    return difference(before, after, names=NAMES)


def test_the_same_has_no_differences() -> None:
    found = between(prompt_file(), prompt_file())
    assert found == Difference(same=True, parts=(), fields=(), text="")


def test_a_changed_part_shows_its_lines() -> None:
    found = between(prompt_file("Be kind.\nBe short."), prompt_file("Be kind.\nBe very short.\nNo lists."))
    (part,) = found.parts
    assert (part.role, part.kind, part.message, part.change) == ("system", "system", 1, "changed")
    assert part.lines == ("@@ -1,2 +1,3 @@", " Be kind.", "-Be short.", "+Be very short.", "+No lists.")
    assert not found.same
    assert found.text.startswith("--- a/1\n+++ a/2\n@@ ")
    assert "-Be short.\n+Be very short.\n" in found.text


def test_an_added_example_leaves_the_others_alone() -> None:
    more = SHOTS.format("Are you?") + "\n\nassistant:\nReally.\n\nuser:\nSure?"
    found = between(prompt_file(SHOTS.format("Are you?")), prompt_file(more))
    assert [(part.kind, part.message, part.change, part.before, part.after) for part in found.parts] == [
        ("few_shot", 4, "added", None, "Really?"),
        ("few_shot", 5, "added", None, "Really."),
        ("user", 6, "changed", "Really?", "Sure?"),
    ]
    removed = between(prompt_file(more), prompt_file(SHOTS.format("Are you?")))
    assert [part.change for part in removed.parts] == ["removed", "removed", "changed"]


@pytest.mark.parametrize(
    ("front", "field", "before", "after"),
    [
        ("model: {id: gpt-4o}\n", "model.id", None, "gpt-4o"),
        ("model: {options: {temperature: 0.5}}\n", "model.options.temperature", None, 0.5),
        ("gateway: {client_system: refuse}\n", "client_system", "keep", "refuse"),
        (
            "inputs: [{name: tier, kind: string, default: gold}]\n",
            "inputs.tier",
            None,
            {"name": "tier", "kind": "string", "default": "gold"},
        ),
    ],
)
def test_fields_are_told_by_their_path(front: str, field: str, before: Any, after: Any) -> None:
    found = between(prompt_file(), prompt_file(front=front))
    assert [(each.field, each.before, each.after) for each in found.fields] == [(field, before, after)]
    assert (found.parts, found.same) == ((), False)


def test_numbers_are_compared_as_the_digest_sees_them() -> None:
    one, whole, true = (
        prompt_file(front=f"model: {{options: {{additionalProperties: {{x: {value}}}}}}}\n")
        for value in ("1", "1.0", "true")
    )
    assert between(one, whole).fields == ()
    assert [each.field for each in between(one, true).fields] == ["model.options.x"]


def test_metadata_makes_no_other_version() -> None:
    found = between(prompt_file(), prompt_file(front="metadata: {owner: ann, ticket: 7}\n"))
    assert [(each.field, each.after) for each in found.fields] == [
        ("metadata.owner", "ann"),
        ("metadata.extra.ticket", 7),
    ]
    assert found.same


def test_parts_that_only_move_to_another_message_are_told() -> None:
    text = "system:\nBe kind.\n{}{{# part: output_format #}}\nBe short.\n"
    one, two = (
        parse(f"---\nname: a\n---\n{text.format(between)}", source="a") for between in ("", "\nsystem:\n")
    )
    found = between(one, two)
    assert not found.same
    assert [part.change for part in found.parts] == ["changed"]  # the first part lost its line's end


LINES = st.lists(st.sampled_from(["Be kind.", "Be short.", "No lists.", "Cite."]), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(LINES, LINES)
def test_no_difference_is_shown_just_where_the_digests_agree(before: list[str], after: list[str]) -> None:
    one, two = (prompt_file("\n\nuser:\n".join(lines)) for lines in (before, after))
    found = between(one, two)
    assert found.same == (digest(one.content) == digest(two.content))
    assert found.same == (not found.parts and not found.fields)
    assert found.same == (found.text == "")
