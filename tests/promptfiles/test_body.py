"""The body: role markers make messages, comments make parts, and nothing is guessed."""

# ruff: noqa: E501 (tables: one case a line)

import pytest

from gateway.errors import PromptFileError
from gateway.promptfiles.body import join, split

Shape = list[tuple[str, list[tuple[str, str]]]]


def shape(body: str) -> Shape:
    return [
        (each.message.role, [(part.kind, part.template) for part in each.message.parts])
        for each in split(body, "a.prompty", 1)
    ]


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ("Hi", [("system", [("system", "Hi")])]),
        ("\n\n  Hi  \n\n", [("system", [("system", "  Hi")])]),
        ("system:\nHi", [("system", [("system", "Hi")])]),
        ("\n\nsystem:  \n\n\nHi\n\n\n", [("system", [("system", "Hi")])]),
        ("developer:\nHi", [("developer", [("system", "Hi")])]),
        ("user:\nHi", [("user", [("user", "Hi")])]),
        ("system:\na\n\n\nb", [("system", [("system", "a\n\n\nb")])]),
        ("system:\nuser: said\nsystem is up", [("system", [("system", "user: said\nsystem is up")])]),
        (
            "user:\nq\nassistant:\na\nuser:\nmine",
            [("user", [("few_shot", "q")]), ("assistant", [("few_shot", "a")]), ("user", [("user", "mine")])],
        ),
        (
            "system:\n{# part: system #}\na\n\n{# part: output_format #}\nb\n",
            [("system", [("system", "a\n\n"), ("output_format", "b")])],
        ),
        (
            "system:\n\n a\n{#-  part:output_format  -#}\nb",
            [("system", [("system", " a\n"), ("output_format", "b")])],
        ),
        ("{# part: output_format #}\nHi", [("system", [("output_format", "Hi")])]),
        ("system:\n{# a note #}\nHi", [("system", [("system", "{# a note #}\nHi")])]),
        ("user:\n{# part: few_shot #}\n\n\nq", [("user", [("few_shot", "q")])]),
    ],
)
def test_it_is_split(body: str, messages: Shape) -> None:
    assert shape(body) == messages


def test_lines_are_those_of_the_file() -> None:
    placed = split("\nsystem:\n\na\n{# part: output_format #}\n\nb\nuser:\nc", "a", 11)
    assert [each.lines for each in placed] == [(14, 16), (19,)]
    assert split("\n\nHi", "a", 11)[0].lines == (13,)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "a.prompty:1: the body is empty: a prompt needs at least one message"),
        (" \n\n", "a.prompty:1: the body is empty: a prompt needs at least one message"),
        ("\nHi\nsystem:\nx", "a.prompty:2: text before the first role marker: begin with one of system:, developer:, user:, assistant: (part comments come after it)"),
        ("{# part: system #}\nsystem:\nx", "a.prompty:1: text before the first role marker: begin with one of system:, developer:, user:, assistant: (part comments come after it)"),
        ("system: Hi", "a.prompty:1: 'system: Hi': a role marker is one of system:, developer:, user:, assistant: on a line of its own, its text below it"),
        ("tool:\nHi", "a.prompty:1: 'tool:': a role marker is one of system:, developer:, user:, assistant: on a line of its own, its text below it"),
        ("system:\nx\nUser:\ny", "a.prompty:3: 'User:' looks like a role marker: write user: at the start of the line, in lower case, and nothing else; or change the text"),
        ("system:\nx\n  user:\ny", "a.prompty:3: 'user:' looks like a role marker: write user: at the start of the line, in lower case, and nothing else; or change the text"),
        ("# system:\nx", "a.prompty:1: '# system:' looks like a role marker: write system: at the start of the line, in lower case, and nothing else; or change the text"),
        ("system[name=x]:\nx", "a.prompty:1: 'system[name=x]:' looks like a role marker: write system: at the start of the line, in lower case, and nothing else; or change the text"),
        ("system:\n\nuser:\nHi", "a.prompty:1: the system message is empty"),
        ("user:\nHi\nassistant:", "a.prompty:3: the assistant message is empty"),
        ("system:\n{# part: system #}\n\n{# part: few_shot #}\nx", "a.prompty:1: the part system is empty"),
        ("system:\nx\n{# part: few_shot #}\n", "a.prompty:1: the part few_shot is empty"),
        ("system:\n{# part: footer #}\nx", "a.prompty:2: the part 'footer' is unknown: parts are system, output_format, few_shot, user"),
        ("system:\n{# part: system #} {# part: user #}\nx", "a.prompty:2: the part 'system #} {# part: user' is unknown: parts are system, output_format, few_shot, user"),
        ("system:\nx {# part: system #}", "a.prompty:2: a part comment is a line of its own: {# part: system #}"),
        ("system:\n{# part: system #} x", "a.prompty:2: a part comment is a line of its own: {# part: system #}"),
        ("system:\n{# parts: system #}\nx", "a.prompty:2: a part comment is a line of its own: {# part: system #}"),
        ("user:\nx\n" * 201, "a.prompty:401: a prompt has at most 200 messages"),
    ],
    ids=lambda value: value[:40],
)  # fmt: skip
def test_it_is_refused_with_its_line(body: str, message: str) -> None:
    with pytest.raises(PromptFileError) as refused:
        split(body, "a.prompty", 1)
    assert refused.value.message == message


@pytest.mark.parametrize(
    "line",
    [" " * 250_000, "{# part:" + " " * 250_000, "{# part: #} " * 20_000, "{#   " * 50_000, "# " * 120_000],
    ids=["spaces", "part", "parts", "comments", "hashes"],
)
def test_a_long_line_takes_no_long_time(line: str) -> None:
    try:
        split(f"system:\nx\n{line}", "a", 1)
    except PromptFileError as error:
        assert "part" in error.message


def test_it_is_joined_as_it_was_split() -> None:
    body = "system:\na\n\n{# part: output_format #}\nb\nuser:\n{{ q }}"
    messages = [each.message for each in split(body, "a", 1)]
    assert [each.message for each in split(join(messages), "a", 1)] == messages
