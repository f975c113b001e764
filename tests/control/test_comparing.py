"""Two versions compared: by part, and as the text of their files."""

from gateway.control.comparing import Side, compare, file_of
from gateway.domain.prompt import Version, digest
from gateway.promptfiles import prompty

FIRST = """---
name: support-agent
metadata:
  owner: support-team
model:
  id: gpt-4o-mini
  options: {temperature: 0.2}
inputs:
  - {name: product, kind: string, required: true}
---
system:
You are kind to {{ product }}.

{# part: output_format #}
Reply in one line.
"""
SECOND = """---
name: support-agent
metadata:
  owner: other-team
model:
  id: gpt-4o-mini
  options: {temperature: 0.4}
inputs:
  - {name: product, kind: string, required: true}
  - {name: tier, kind: string, default: standard}
---
system:
First of all, be safe.

user:
{# part: few_shot #}
How?

system:
You are kind to {{ product }}.
"""


def side(text: str, number: int) -> Side:
    file = prompty.parse(text, source="a.prompty")
    return Side(
        Version(file.name, number, digest(file.content), file.content, 1.0, "ann"),
        file.metadata,
    )


def test_parts_say_what_was_added_removed_and_changed() -> None:
    found = compare(side(FIRST, 1), side(SECOND, 2))
    assert (found.base, found.version, found.same) == (1, 2, False)
    assert {(part.where, part.change) for part in found.parts} == {
        ("messages[0].system", "added"),
        ("messages[1].few_shot", "added"),
        ("messages[2].system", "changed"),  # the blank line before the part that is gone
        ("messages[0].output_format", "removed"),
        ("model.options.temperature", "changed"),
        ("inputs.tier", "added"),
        ("metadata.owner", "changed"),
    }
    owner = next(part for part in found.parts if part.where == "metadata.owner")
    assert (owner.before, owner.after) == ("support-team", "other-team")


def test_the_text_is_a_unified_diff_of_the_files() -> None:
    text = compare(side(FIRST, 1), side(SECOND, 2)).text
    assert text.startswith("--- support-agent/1\n+++ support-agent/2\n@@ ")
    assert "\n-  owner: support-team\n+  owner: other-team\n" in text
    assert "\n+First of all, be safe.\n" in text


def test_the_same_version_differs_in_nothing() -> None:
    found = compare(side(FIRST, 1), side(FIRST, 1))
    assert (found.same, found.parts, found.text) == (True, (), "")


def test_a_file_is_read_back_as_the_same_version() -> None:
    one = side(SECOND, 1)
    again = prompty.parse(file_of(one), source="b.prompty")
    assert digest(again.content) == one.version.digest
    assert again.metadata == one.metadata
