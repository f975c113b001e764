"""Inputs, outputs and options of the front matter, and their way back."""

# ruff: noqa: E501 (tables: one case a line)

from typing import Any

import pytest

from gateway.domain.prompt import Input
from gateway.errors import PromptFileError
from gateway.promptfiles import fields
from gateway.promptfiles.front_matter import Field, read


def field(yaml: str, key: str) -> Field:
    return read(f"---\n{key}: {yaml}\n---\n", "a.prompty")[0].mapping()[key]


@pytest.mark.parametrize(
    ("yaml", "inputs"),
    [
        ("[]", ()),
        ("[{name: a, kind: string, required: true}]", (Input("a", "string", required=True),)),
        ("{a: {kind: integer, default: 3}}", (Input("a", "integer", default=3),)),
        ("{a: {kind: float, default: 3}}", (Input("a", "number", default=3),)),
        ("{a: {kind: boolean, default: false}}", (Input("a", "boolean", default=False),)),
        ("{a: {kind: array, default: [1, b]}}", (Input("a", "array", default=[1, "b"]),)),
        ("{a: {kind: object, default: {b: 1}}}", (Input("a", "object", default={"b": 1}),)),
        ("{a: {kind: number, enumValues: [1, 2.5]}}", (Input("a", "number", enum=(1, 2.5)),)),
        ("{a: {kind: string, description: d}}", (Input("a", "string", description="d"),)),
    ],
)
def test_inputs(yaml: str, inputs: tuple[Input, ...]) -> None:
    assert fields.read_inputs(field(yaml, "inputs")) == inputs
    assert fields.read_inputs(field(str(fields.write_inputs(inputs)), "inputs")) == inputs


def an_object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("yaml", "schema"),
    [
        ("[]", None),
        ("[{name: a, kind: string, required: true}]", an_object({"a": {"type": "string"}}, "a")),
        ("{a: {kind: float, description: d}}", an_object({"a": {"type": "number", "description": "d"}})),
        ("{a: {kind: string, enumValues: [x, y]}}", an_object({"a": {"type": "string", "enum": ["x", "y"]}})),
        (
            "{a: {kind: array, items: {kind: integer}}}",
            an_object({"a": {"type": "array", "items": {"type": "integer"}}}),
        ),
        (
            "{a: {kind: object, properties: {b: {kind: boolean, required: true}}, description: d}}",
            an_object({"a": an_object({"b": {"type": "boolean"}}, "b") | {"description": "d"}}),
        ),
        (
            "{a: {kind: array, items: {kind: object, properties: [{name: b, kind: array, items: {kind: string}}]}}}",
            an_object({"a": {"type": "array", "items": an_object({"b": {"type": "array", "items": {"type": "string"}}})}}),
        ),
    ],
)  # fmt: skip
def test_outputs(yaml: str, schema: dict[str, Any] | None) -> None:
    assert fields.read_outputs(field(yaml, "outputs")) == schema
    if schema is not None:
        assert fields.read_outputs(field(as_yaml(fields.write_outputs(schema)), "outputs")) == schema


@pytest.mark.parametrize(
    ("yaml", "options"),
    [
        ("{}", {}),
        ("{temperature: 0, topP: 0.5, topK: 4}", {"temperature": 0, "top_p": 0.5, "top_k": 4}),
        ("{maxOutputTokens: 1, seed: -1}", {"max_tokens": 1, "seed": -1}),
        ("{frequencyPenalty: -2, presencePenalty: 2}", {"frequency_penalty": -2, "presence_penalty": 2}),
        ("{stopSequences: [a, b]}", {"stop": ["a", "b"]}),
        ("{allowMultipleToolCalls: false}", {"parallel_tool_calls": False}),
        (
            "{additionalProperties: {reasoning_effort: low, logit_bias: {'50256': -100}}}",
            {"reasoning_effort": "low", "logit_bias": {"50256": -100}},
        ),
    ],
)
def test_options(yaml: str, options: dict[str, Any]) -> None:
    assert fields.read_options(field(yaml, "options")) == options
    assert fields.read_options(field(as_yaml(fields.write_options(options)), "options")) == options


def as_yaml(value: Any) -> str:
    """Python's notation is YAML's flow style, but for the booleans' capitals, which are read too."""
    return str(value)


ONE_OF = "string, integer, number, boolean, array, object"
NAMING = (
    "use 1 to 64 letters, digits and '_', not beginning with a digit, and no word of the template language"
)
REFUSED = [
    ("inputs", "x", "inputs: must be a list, not 'x'"),
    ("inputs", "[x]", "inputs[0]: must be a mapping, not 'x'"),
    ("inputs", "{a: string}", "inputs.a: must be a mapping, not 'string'"),
    ("inputs", "[{kind: string}]", "inputs[0]: needs a name"),
    ("inputs", "[{name: a}]", f"inputs[0]: needs a kind: one of {ONE_OF}"),
    ("inputs", "[{name: a, kind: text}]", f"inputs[0].kind: must be one of {ONE_OF}, float, not 'text'"),
    ("inputs", "[{name: a, kind: string, sample: x}]", "inputs[0].sample: unknown field; inputs[0] takes name, kind, required, default, enumValues, description"),
    ("inputs", "[{name: a b, kind: string}]", f"inputs[0]: 'a b' cannot name an input: {NAMING}"),
    ("inputs", "{loop: {kind: string}}", f"inputs.loop: 'loop' cannot name an input: {NAMING}"),
    ("inputs", "{1a: {kind: string}}", f"inputs.1a: '1a' cannot name an input: {NAMING}"),
    ("inputs", "[{name: a, kind: string}, {name: a, kind: string}]", "inputs[1].name: 'a' is declared twice, first on line 2"),
    ("inputs", "{a: {kind: string, required: 'yes'}}", "inputs.a.required: must be true or false, not 'yes'"),
    ("inputs", "{a: {kind: string, required: true, default: x}}", "inputs.a.default: an input that is required has no default: remove one of them"),
    ("inputs", "{a: {kind: string, default: null}}", "inputs.a.default: null is no default: leave the field out"),
    ("inputs", "{a: {kind: string, default: 1}}", "inputs.a.default: must be a string, not 1"),
    ("inputs", "{a: {kind: integer, default: true}}", "inputs.a.default: must be an integer, not true"),
    ("inputs", "{a: {kind: integer, default: 1.0}}", "inputs.a.default: must be an integer, not 1.0"),
    ("inputs", "{a: {kind: string, default: c, enumValues: [a, b]}}", 'inputs.a.default: must be one of "a", "b", not "c"'),
    ("inputs", "{a: {kind: string, enumValues: [a, 1]}}", "inputs.a.enumValues[1]: must be a string, not 1"),
    ("inputs", "{a: {kind: string, enumValues: [a, a]}}", "inputs.a.enumValues[1]: 'a' is listed twice"),
    ("inputs", "{a: {kind: string, enumValues: []}}", "inputs.a.enumValues: needs at least one value: leave the field out if anything is allowed"),
    ("inputs", "{a: {kind: array, enumValues: [a]}}", "inputs.a.enumValues: only string, integer, number, boolean can have enumValues, not array"),
    ("inputs", "[" + ", ".join(f"{{name: a{n}, kind: string}}" for n in range(201)) + "]", "inputs: a prompt has at most 200 inputs, not 201"),
    ("outputs", "{a: {kind: string, items: {kind: string}}}", "outputs.a.items: belongs to the kind array, not string"),
    ("outputs", "{a: {kind: array, properties: {}}}", "outputs.a.properties: belongs to the kind object, not array"),
    ("outputs", "{a: {kind: array, items: {name: b, kind: string}}}", "outputs.a.items.name: unknown field; outputs.a.items takes kind, description, required, enumValues, properties, items"),
    ("outputs", "{a: {kind: string, default: x}}", "outputs.a.default: unknown field; outputs.a takes kind, description, required, enumValues, properties, items"),
    ("options", "[]", "options: must be a mapping, not a list"),
    ("options", "{max_tokens: 3}", "options.max_tokens: unknown option; the file's name for it is maxOutputTokens"),
    ("options", "{style: x}", "options.style: unknown option; there are temperature, topP, topK, maxOutputTokens, stopSequences, seed, frequencyPenalty, presencePenalty, allowMultipleToolCalls, and additionalProperties for any other field of the request"),
    ("options", "{temperature: hot}", 'options.temperature: must be a number, not "hot"'),
    ("options", "{temperature: null}", "options.temperature: must be a number, not null"),
    ("options", "{maxOutputTokens: 0}", "options.maxOutputTokens: must be at least 1, not 0"),
    ("options", "{maxOutputTokens: true}", "options.maxOutputTokens: must be an integer, not true"),
    ("options", "{stopSequences: x}", 'options.stopSequences: must be an array, not "x"'),
    ("options", "{stopSequences: [1]}", "options.stopSequences: must be a list of non-empty strings"),
    ("options", "{additionalProperties: {max_tokens: 3}}", "options.additionalProperties.max_tokens: write it as model.options.maxOutputTokens"),
    ("options", "{additionalProperties: {messages: []}}", "options.additionalProperties.messages: 'messages' cannot be set here: it is the gateway's or the client's"),
    ("options", "{additionalProperties: {stream: true}}", "options.additionalProperties.stream: 'stream' cannot be set here: it is the gateway's or the client's"),
    ("options", "{additionalProperties: {user: null}}", "options.additionalProperties.user: null sets nothing: leave the field out"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "yaml", "message"), REFUSED, ids=[each[2][:50] for each in REFUSED])
def test_it_is_refused_by_name(key: str, yaml: str, message: str) -> None:
    readers = {"inputs": fields.read_inputs, "outputs": fields.read_outputs, "options": fields.read_options}
    with pytest.raises(PromptFileError) as refused:
        readers[key](field(yaml, key))
    assert refused.value.message == f"a.prompty:2: {message}"


def test_prompty_names_and_request_fields_are_one_to_one() -> None:
    assert len(fields.PROMPTY_NAMES) == len(fields.OPTIONS)
