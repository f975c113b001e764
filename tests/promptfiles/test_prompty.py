"""Prompt files: what is understood, what is refused and where, and that writing and reading agree."""

# ruff: noqa: E501 (tables: one case a line)

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.prompt import Content, Input, Message, Metadata, Model, Part, digest
from gateway.errors import PromptFileError
from gateway.promptfiles.prompty import MAX_BYTES, PromptFile, parse, write

LAW = settings(max_examples=50, deadline=None, derandomize=True)
FULL = """\
---
name: support-answer
description: Answers product support questions
metadata:
  owner: support-team
  change: "shorter answers"
  model_card: https://cards.example/gpt-4o-mini
  canary: {suite: evals/support.yaml, min_pass_rate: 0.95, initial_percent: 5}
  ticket: 42
model:
  id: gpt-4o-mini
  provider: openai
  options: {temperature: 0.2, maxOutputTokens: 400, additionalProperties: {reasoning_effort: low}}
inputs:
  - {name: product, kind: string, required: true}
  - {name: tier, kind: string, default: standard, enumValues: [standard, gold]}
  - {name: question, kind: string, required: true}
outputs:
  - {name: answer, kind: string, required: true}
gateway:
  client_system: refuse
  locked: [temperature, maxOutputTokens, response_format]
---
system:
{# part: system #}
You are a support agent for {{ product }}.{% if tier == "gold" %} Offer a call-back.{% endif %}

{# part: output_format #}
Reply with one JSON object: {"answer": "<at most 60 words>"}.

user:
{# part: few_shot #}
How do I reset it?

assistant:
{# part: few_shot #}
{"answer": "Hold the button for 10 seconds."}

user:
{# part: user #}
{{ question }}
"""


def test_a_whole_file() -> None:
    prompt_file = parse(FULL, source="support.prompty")
    system = (
        'You are a support agent for {{ product }}.{% if tier == "gold" %} Offer a call-back.{% endif %}\n\n'
    )
    reply = 'Reply with one JSON object: {"answer": "<at most 60 words>"}.'
    assert prompt_file == PromptFile(
        name="support-answer",
        content=Content(
            messages=(
                Message("system", (Part("system", system), Part("output_format", reply))),
                Message("user", (Part("few_shot", "How do I reset it?"),)),
                Message("assistant", (Part("few_shot", '{"answer": "Hold the button for 10 seconds."}'),)),
                Message("user", (Part("user", "{{ question }}"),)),
            ),
            inputs=(
                Input("product", "string", required=True),
                Input("tier", "string", default="standard", enum=("standard", "gold")),
                Input("question", "string", required=True),
            ),
            outputs={
                "type": "object",
                "properties": {"answer": {"type": "string"}},
                "required": ["answer"],
                "additionalProperties": False,
            },
            model=Model(
                id="gpt-4o-mini",
                options={"temperature": 0.2, "max_tokens": 400, "reasoning_effort": "low"},
                locked=("temperature", "max_tokens", "response_format"),
            ),
            client_system="refuse",
        ),
        metadata=Metadata(
            owner="support-team",
            description="Answers product support questions",
            change="shorter answers",
            model_card="https://cards.example/gpt-4o-mini",
            suite="evals/support.yaml",
            extra={
                "ticket": 42,
                "provider": "openai",
                "canary": {"min_pass_rate": 0.95, "initial_percent": 5},
            },
        ),
    )
    assert parse(write(prompt_file), source="again") == prompt_file


def file(front: str, body: str = "system:\nHi\n") -> str:
    return f"---\nname: a\n{front}\n---\n{body}"


def test_the_smallest_file() -> None:
    prompt_file = parse("---\nname: a\n---\nHi", source="a")
    assert prompt_file.content == Content(messages=(Message("system", (Part("system", "Hi"),)),))
    assert prompt_file.metadata == Metadata()


def test_line_ends_and_byte_order_mark_make_no_difference() -> None:
    plain = parse(FULL, source="a")
    assert parse(FULL.replace("\n", "\r\n"), source="a") == plain
    assert parse("\ufeff" + FULL, source="a") == plain


@pytest.mark.parametrize(
    ("front", "model"),
    [
        ("model: gpt-4o", Model(id="gpt-4o")),
        ("model: client", Model()),
        ("model: {id: client, options: {seed: 1}}", Model(options={"seed": 1})),
        ("model: {apiType: chat, options: {stopSequences: [END]}}", Model(options={"stop": ["END"]})),
        ("template: jinja2", Model()),
        ("template: {format: {kind: jinja2}, parser: prompty}", Model()),
    ],
)
def test_the_model(front: str, model: Model) -> None:
    assert parse(file(front), source="a").content.model == model


REFUSED = [
    ("", "a.prompty:1: the file must begin with a line '---', its front matter, '---'"),
    ("Hello", "a.prompty:1: the file must begin with a line '---', its front matter, '---'"),
    ("---\nname: a\n", "a.prompty:1: the front matter has no end: a line '---' is missing"),
    ("---\n---\nHi", "a.prompty:1: the front matter is empty: it needs at least 'name'"),
    ("---\n- a\n---\nHi", "a.prompty:2: the front matter: must be a mapping, not a list"),
    ("---\ndescription: x\n---\nHi", "a.prompty:2: the front matter: 'name' is missing: it is the prompt's name"),
    ("---\nname: A b\n---\nHi", "a.prompty:2: name: 'A b' is not a name: use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit"),
    ("---\nname: 3\n---\nHi", "a.prompty:2: name: must be a string, not 3; put it in quotes"),
    (file("tools: []"), "a.prompty:3: tools: unknown field; the front matter takes name, description, metadata, model, inputs, outputs, template, gateway"),
    (file("description: [a]"), "a.prompty:3: description: must be a string, not a list"),
    (file("metadata: {owner: 3}"), "a.prompty:3: metadata.owner: must be a string, not 3; put it in quotes"),
    (file("metadata: {provider: x}"), "a.prompty:3: metadata.provider: belongs under model.provider"),
    (file("metadata:\n  canary: [x]"), "a.prompty:4: metadata.canary: must be a mapping, not a list"),
    (file("model: 3"), "a.prompty:3: model: must be a string, not 3; put it in quotes"),
    (file("model: ''"), "a.prompty:3: model: must be a model's id of 1 to 256 characters, or 'client'"),
    (file("model: {connection: {key: x}}"), "a.prompty:3: model.connection: unknown field; model takes id, provider, apiType, options"),
    (file("model: {apiType: image}"), "a.prompty:3: model.apiType: must be one of chat, not 'image'"),
    (file("template: mustache"), "a.prompty:3: template: must be one of jinja2, not 'mustache'"),
    (file("template: {format: jinja2, parser: xml}"), "a.prompty:3: template.parser: must be one of prompty, not 'xml'"),
    (file("gateway: {client_system: drop}"), "a.prompty:3: gateway.client_system: must be one of keep, replace, refuse, not 'drop'"),
    (file("gateway:\n  locked:\n    - temperature"), "a.prompty:5: gateway.locked[0]: 'temperature' is not set by this prompt; options that can be locked: none"),
    (file("gateway: {lock: []}"), "a.prompty:3: gateway.lock: unknown field; gateway takes client_system, locked"),
    (file("outputs: [{name: a, kind: string}]\nmodel: {options: {additionalProperties: {response_format: {}}}}"), "a.prompty:3: outputs: model.options sets response_format already: remove one of them"),
    (file("", "{{ question }}"), "a.prompty:5: 'question' is not a declared input: there are no inputs"),
    (file("", "system:\n\n\nHi\n{{ 2 ** 9 }}"), "a.prompty:9: '**' is not allowed: a template has names, literals, for, if, set, comparisons, filters and tests"),
    (file("", "system:\nHi\n{# part: output_format #}\nx\n{{ y }}"), "a.prompty:9: 'y' is not a declared input: there are no inputs"),
    (file("", "\n\nHi {{ y }}"), "a.prompty:7: 'y' is not a declared input: there are no inputs"),
    (file("", "system:\nHi {% if %}"), "a.prompty:6: Expected an expression, got 'end of statement block'"),
    ("x" * (MAX_BYTES + 1), "a.prompty:1: the file has 262145 bytes, allowed are 262144"),
    (file("", "Hi\n\n\ud800"), "a.prompty:7: the file holds a lone surrogate, which is no character"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message[:60] for _, message in REFUSED])
def test_it_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(PromptFileError) as refused:
        parse(text, source="a.prompty")
    assert refused.value.message == message


# --- the digest
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: support-answer", "name: other"),
        ("description: Answers product support questions", "description: x"),
        ('change: "shorter answers"', "change: longer answers\n  more: [1, 2]"),
        ("{suite: evals/support.yaml, min_pass_rate: 0.95, initial_percent: 5}", "{}"),
        ("  provider: openai\n", ""),
        ("{temperature: 0.2, maxOutputTokens: 400,", "{maxOutputTokens: 400, temperature: 0.20,"),
        ("temperature, maxOutputTokens, response_format", "response_format, maxOutputTokens, max_tokens, temperature"),
        (
            "  - {name: tier, kind: string, default: standard, enumValues: [standard, gold]}\n  - {name: question, kind: string, required: true}",
            "  - {required: true, kind: string, name: question}\n  - {kind: string, enumValues: [standard, gold], default: standard, name: tier}",
        ),
        ("system:\n{# part: system #}\n", "system:  \n\n\n"),
        ("{# part: user #}\n", "{#- part:user -#}\n"),
    ],
)  # fmt: skip
def test_the_same_content_is_the_same_version(before: str, after: str) -> None:
    assert before in FULL
    changed = parse(FULL.replace(before, after), source="a")
    assert digest(changed.content) == digest(parse(FULL, source="a").content)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("How do I reset it?", "How do I reset it"),
        ("temperature: 0.2", "temperature: 0.3"),
        ("id: gpt-4o-mini", "id: client"),
        ("client_system: refuse", "client_system: keep"),
        ("[temperature, maxOutputTokens, response_format]", "[temperature]"),
        ("default: standard", "default: gold"),
        ("{name: product, kind: string, required: true}", "{name: product, kind: string}"),
        ("name: answer, kind: string", "name: answer, kind: integer"),
        ("{# part: output_format #}", "{# part: system #}"),
        ("{# part: output_format #}\n", ""),
        ("assistant:", "user:"),
    ],
)
def test_other_content_is_another_version(before: str, after: str) -> None:
    assert before in FULL
    changed = parse(FULL.replace(before, after), source="a")
    assert digest(changed.content) != digest(parse(FULL, source="a").content)


# --- reading and writing
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
LINES = st.sampled_from(
    [
        "Hello {{ v }}.",
        "{% if v %}yes{% endif %}",
        "{# a note #}",
        "",
        "  indented",
        "user: said",
        "---",
        "é 😀",
    ]
) | TEXT.map(lambda text: text.replace("{", "(").replace("$", "S"))
SCALARS = st.sampled_from(
    ["no", "010", "1e5", "null", "~", "1:30", "2024-01-01", "", "- a", "a: b", "#", "<<"]
)
SCALARS = SCALARS | TEXT.filter(lambda text: "$" not in text)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """A prompt file as someone might write it, sometimes refused."""
    body = []
    for _ in range(draw(st.integers(1, 4))):
        body.append(draw(st.sampled_from(["system", "developer", "user", "assistant"])) + ":")
        for _ in range(draw(st.integers(1, 3))):
            if draw(st.booleans()):
                kind = draw(st.sampled_from(["system", "output_format", "few_shot", "user"]))
                body.append(f"{{# part: {kind} #}}")
            body += draw(st.lists(LINES, min_size=1, max_size=3)) + ["."]
    front = {
        "name": "p",
        "metadata": draw(st.dictionaries(TEXT.filter(lambda key: "$" not in key), JSON, max_size=3)),
        "description": draw(SCALARS),
        "inputs": [{"name": "v", "kind": "string", "default": draw(SCALARS), "description": draw(SCALARS)}],
        "model": {"id": draw(SCALARS), "options": {"temperature": draw(NUMBERS), "additionalProperties": {"x": draw(JSON)}}},
    }  # fmt: skip
    front["metadata"] = {k: v for k, v in front["metadata"].items() if k not in ("provider", "canary")}
    return f"---\n{as_yaml(front)}\n---\n" + "\n".join(body)


def as_yaml(value: Any) -> str:
    """Flow style by hand, so that the writer under test does not write what it is tested with."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"? {as_yaml(key)} : {as_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_yaml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


@LAW
@given(files())
def test_what_is_written_is_read_as_the_same(text: str) -> None:
    try:
        prompt_file = parse(text, source="drawn")
    except PromptFileError:
        return
    written = write(prompt_file)
    again = parse(written, source="written")
    assert digest(again.content) == digest(prompt_file.content)
    assert again == prompt_file
    assert write(again) == written


@LAW
@given(st.text(st.sampled_from(list("-: \n{}[]#%\"'&*!|>system:user part${}envnamea1,\t\\"))) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"---\nname: a\n{text}\n---\nHi", f"---\nname: a\n---\n{text}"):
        try:
            prompt_file = parse(candidate, source="a.prompty")
        except PromptFileError as error:
            assert error.message.startswith("a.prompty:")
        else:
            assert digest(parse(write(prompt_file), source="again").content) == digest(prompt_file.content)


@pytest.mark.parametrize(
    "content",
    [
        Content(messages=(Message("system", (Part("system", "\nblank line before"),)),)),
        Content(messages=(Message("system", (Part("system", "text\nuser:\ntext"),)),)),
        Content(messages=(Message("system", (Part("system", "no line end"), Part("system", "here"))),)),
        Content(messages=(Message("system", (Part("system", ""),)),)),
        Content(messages=(Message("system", (Part("system", "x"),)),), outputs={"$ref": "#/x"}),
        Content(messages=(Message("system", (Part("system", "x"),)),), outputs={"type": "object", "properties": {}, "required": ["a"]}),
    ],
)  # fmt: skip
def test_content_that_no_file_can_hold_is_not_written(content: Content) -> None:
    with pytest.raises(PromptFileError):
        write(PromptFile("a", content, Metadata()))
