"""Front matter ⇄ what a version's content holds: inputs, the response schema, the model's options.

Prompty's names of options on the left, the request's fields on the right:

    temperature            temperature             maxOutputTokens        max_tokens
    topP                   top_p                   stopSequences          stop
    topK                   top_k                   seed                   seed
    frequencyPenalty       frequency_penalty       presencePenalty        presence_penalty
    allowMultipleToolCalls parallel_tool_calls     additionalProperties   any other field, as it is
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

from gateway.domain.prompt import Input, InputKind
from gateway.errors import PromptFileError
from gateway.promptfiles.front_matter import Field
from gateway.promptfiles.inputs import complaint_about
from gateway.promptfiles.syntax import RESERVED

MAX_INPUTS = 200
MAX_INPUT_NAME = 64

KINDS: tuple[InputKind, ...] = get_args(InputKind)
_SCALAR_KINDS = ("string", "integer", "number", "boolean")
_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_INPUT_NAME - 1}}}\Z")
_REQUEST_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
# What the request, the prompt's messages or its outputs say.
_NOT_OPTIONS = frozenset({"messages", "model", "prompt", "stream", "stream_options"})


class Option(NamedTuple):
    field: str  # of the request
    kind: InputKind


OPTIONS: Mapping[str, Option] = {
    "temperature": Option("temperature", "number"),
    "topP": Option("top_p", "number"),
    "topK": Option("top_k", "integer"),
    "maxOutputTokens": Option("max_tokens", "integer"),
    "stopSequences": Option("stop", "array"),
    "seed": Option("seed", "integer"),
    "frequencyPenalty": Option("frequency_penalty", "number"),
    "presencePenalty": Option("presence_penalty", "number"),
    "allowMultipleToolCalls": Option("parallel_tool_calls", "boolean"),
}
PROMPTY_NAMES = {option.field: name for name, option in OPTIONS.items()}
_MORE = "additionalProperties"


# --- inputs
def read_inputs(field: Field) -> tuple[Input, ...]:
    """A list of mappings with `name`, or a mapping from name to mapping."""
    items = _named(field, ("name", "kind", "required", "default", "enumValues", "description"))
    if len(items) > MAX_INPUTS:
        field.fail(f"a prompt has at most {MAX_INPUTS} inputs, not {len(items)}")
    return tuple(_read_input(name, members, at) for name, (at, members) in items.items())


def write_inputs(inputs: Iterable[Input]) -> list[dict[str, Any]]:
    written = []
    for item in inputs:
        entry: dict[str, Any] = {"name": item.name, "kind": item.kind}
        if item.description:
            entry["description"] = item.description
        if item.required:
            entry["required"] = True
        if item.default is not None:
            entry["default"] = item.default
        if item.enum:
            entry["enumValues"] = list(item.enum)
        written.append(entry)
    return written


def _read_input(name: str, members: Mapping[str, Field], at: Field) -> Input:
    if not _NAME.match(name) or name in RESERVED:
        at.fail(
            f"{name[:80]!r} cannot name an input: use 1 to {MAX_INPUT_NAME} letters, digits and '_', not "
            "beginning with a digit, and no word of the template language"
        )
    kind = _kind(members, at)
    values = _enum(members, kind)
    required = members["required"].flag() if "required" in members else False
    description = members["description"].text() if "description" in members else ""
    item = Input(name, kind, required=required, enum=values, description=description)
    default = members.get("default")
    if default is None:
        return item
    if default.value is None:
        default.fail("null is no default: leave the field out")
    if required:
        default.fail("an input that is required has no default: remove one of them")
    if complaint := complaint_about(item, default.json()):
        default.fail(complaint)
    return Input(name, kind, default=default.json(), enum=values, description=description)


# --- outputs
def read_outputs(field: Field) -> dict[str, Any] | None:
    """The JSON schema of an object with these properties; None if there are none."""
    schema = _object_schema(field)
    return schema if schema["properties"] else None


def write_outputs(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The outputs that `read_outputs` makes `schema` of. Raises `PromptFileError` for other schemas."""
    try:
        return [
            _write_property(name, property_, name in schema["required"])
            for name, property_ in schema["properties"].items()
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise PromptFileError(
            f"this response schema cannot be written as 'outputs': {error}", param="outputs"
        ) from error


_PROPERTY = ("name", "kind", "description", "required", "enumValues", "properties", "items")


def _object_schema(field: Field) -> dict[str, Any]:
    named = _named(field, _PROPERTY)
    required = [
        name for name, (_, members) in named.items() if "required" in members and members["required"].flag()
    ]
    properties = {name: _property_schema(members, at) for name, (at, members) in named.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _property_schema(members: Mapping[str, Field], at: Field) -> dict[str, Any]:
    kind = _kind(members, at)
    schema: dict[str, Any] = {"type": kind}
    for key, owner in (("properties", "object"), ("items", "array")):
        if key in members and kind != owner:
            members[key].fail(f"belongs to the kind {owner}, not {kind}")
    if "properties" in members:
        schema = _object_schema(members["properties"])
    if "items" in members:
        inner = members["items"]
        schema["items"] = _property_schema(inner.mapping(_PROPERTY[1:]), inner)
    if "description" in members:
        schema["description"] = members["description"].text()
    if values := _enum(members, kind):
        schema["enum"] = list(values)
    return schema


def _write_property(name: str | None, schema: Mapping[str, Any], required: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {} if name is None else {"name": name}
    entry["kind"] = schema["type"]
    if "description" in schema:
        entry["description"] = schema["description"]
    if required:
        entry["required"] = True
    if "enum" in schema:
        entry["enumValues"] = list(schema["enum"])
    if "properties" in schema:
        entry["properties"] = write_outputs(schema)
    if "items" in schema:
        entry["items"] = _write_property(None, schema["items"], required=False)
    return entry


# --- options
def read_options(field: Field) -> dict[str, Any]:
    """Request fields and their values."""
    options: dict[str, Any] = {}
    for name, member in field.mapping().items():
        if name == _MORE:
            continue
        option = OPTIONS.get(name)
        if option is None:
            member.fail(_unknown_option(name))
        value = member.json()
        if complaint := complaint_about(Input(name, option.kind), value):
            member.fail(complaint)
        if option.field == "stop" and not all(isinstance(item, str) and item for item in value):
            member.fail("must be a list of non-empty strings")
        if option.field == "max_tokens" and value < 1:
            member.fail(f"must be at least 1, not {value}")
        options[option.field] = value
    if _MORE in field.mapping():
        options |= _more_options(field.mapping()[_MORE])
    return options


def write_options(options: Mapping[str, Any]) -> dict[str, Any]:
    written = {PROMPTY_NAMES[key]: value for key, value in options.items() if key in PROMPTY_NAMES}
    more = {key: value for key, value in options.items() if key not in PROMPTY_NAMES}
    return written | ({_MORE: more} if more else {})


def _more_options(field: Field) -> dict[str, Any]:
    for name, member in field.mapping().items():
        if name in PROMPTY_NAMES:
            member.fail(f"write it as model.options.{PROMPTY_NAMES[name]}")
        if name in _NOT_OPTIONS or not _REQUEST_FIELD.match(name):
            member.fail(f"{name[:80]!r} cannot be set here: it is the gateway's or the client's")
        if member.value is None:
            member.fail("null sets nothing: leave the field out")
    return {name: member.json() for name, member in field.mapping().items()}


def _unknown_option(name: str) -> str:
    if name in PROMPTY_NAMES:
        return f"unknown option; the file's name for it is {PROMPTY_NAMES[name]}"
    return f"unknown option; there are {', '.join(OPTIONS)}, and {_MORE} for any other field of the request"


# --- shared
def _named(field: Field, allowed: tuple[str, ...]) -> dict[str, tuple[Field, Mapping[str, Field]]]:
    """The entries of a list (each with its `name`) or of a mapping, by name."""
    if isinstance(field.value, dict):
        return {name: (entry, entry.mapping(allowed[1:])) for name, entry in field.mapping().items()}
    entries: dict[str, tuple[Field, Mapping[str, Field]]] = {}
    for entry in field.items():
        members = entry.mapping(allowed)
        if "name" not in members:
            entry.fail("needs a name")
        name = members["name"].text()
        if name in entries:
            members["name"].fail(f"{name!r} is declared twice, first on line {entries[name][0].line}")
        entries[name] = (entry, members)
    return entries


def _kind(members: Mapping[str, Field], at: Field) -> InputKind:
    """Prompty's `float` is JSON's number."""
    if "kind" not in members:
        at.fail(f"needs a kind: one of {', '.join(KINDS)}")
    name = members["kind"].choice((*KINDS, "float"))
    return next(kind for kind in KINDS if kind == name or (kind == "number" and name == "float"))


def _enum(members: Mapping[str, Field], kind: InputKind) -> tuple[Any, ...]:
    field = members.get("enumValues")
    if field is None:
        return ()
    if kind not in _SCALAR_KINDS:
        field.fail(f"only {', '.join(_SCALAR_KINDS)} can have enumValues, not {kind}")
    values = []
    for item in field.items():
        if complaint := complaint_about(Input("value", kind), item.value):
            item.fail(complaint)
        if item.value in values:
            item.fail(f"{item.value!r} is listed twice")
        values.append(item.value)
    if not values:
        field.fail("needs at least one value: leave the field out if anything is allowed")
    return tuple(values)
