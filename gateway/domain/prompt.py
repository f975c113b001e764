"""A prompt version: immutable content, its digest, and what is known beside it.

The digest is sha256 over RFC 8785 (canonical JSON) of the content alone: name, description and metadata
are not part of it, so the same content pushed again is the same version. Inputs and locked options are sets:
their order is not part of it either.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec
import rfc8785

from gateway.domain.names import check_name
from gateway.errors import InvalidValue

Role = Literal["system", "developer", "user", "assistant"]
PartKind = Literal["system", "output_format", "few_shot", "user"]
InputKind = Literal["string", "integer", "number", "boolean", "array", "object"]
SystemPolicy = Literal["keep", "replace", "refuse"]

MAX_SAFE_INTEGER = 2**53 - 1  # RFC 8785 numbers are IEEE doubles


class Part(msgspec.Struct, frozen=True):
    """A stretch of one message: `template` is Jinja2 source (see `promptfiles.template`)."""

    kind: PartKind
    template: str


class Message(msgspec.Struct, frozen=True):
    """One message; its text is the concatenation of its rendered parts, never split again."""

    role: Role
    parts: tuple[Part, ...]


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """A typed input. `default` is used when the request does not give one; `enum` lists what is allowed."""

    name: str
    kind: InputKind
    required: bool = False
    default: Any = None
    enum: tuple[Any, ...] = ()
    description: str = ""


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """`id` None means the client chooses. `options` are request fields (temperature, max_tokens, …): the
    client's win unless named in `locked`."""

    id: str | None = None
    options: dict[str, Any] = {}
    locked: tuple[str, ...] = ()


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that decides what the model is sent; the digest covers all of it."""

    messages: tuple[Message, ...]
    inputs: tuple[Input, ...] = ()
    outputs: dict[str, Any] | None = None  # a JSON schema for `response_format`
    model: Model = Model()
    client_system: SystemPolicy = "keep"  # what happens to a system message of the client's own
    schema: Literal["prompty/2"] = "prompty/2"
    template: Literal["jinja2"] = "jinja2"

    def __post_init__(self) -> None:
        if not self.messages:
            raise InvalidValue("a prompt needs at least one message", param="messages")
        names: set[str] = set()
        for item in self.inputs:
            if item.name in names:
                raise InvalidValue(f"input {item.name!r} is declared twice", param="inputs")
            names.add(item.name)


def digest(content: Content) -> str:
    """`sha256:` and 64 hex digits over the canonical JSON (RFC 8785) of the content.

    What has its default is left out, so that a field added by a later gateway changes no digest.
    """
    ordered = msgspec.structs.replace(
        content,
        inputs=tuple(sorted(content.inputs, key=lambda item: item.name)),
        model=msgspec.structs.replace(content.model, locked=tuple(sorted(set(content.model.locked)))),
    )
    try:
        canonical = rfc8785.dumps(_without_defaults(ordered))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidValue(f"the prompt cannot be written as canonical JSON: {error}") from error
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


def _without_defaults(value: Any) -> Any:
    """Builtins of a value. Defaults are told by equality: msgspec's own `omit_defaults` goes by identity."""
    if isinstance(value, msgspec.Struct):
        members = {field.name: (getattr(value, field.name), field) for field in msgspec.structs.fields(value)}
        return {
            name: _without_defaults(member)
            for name, (member, field) in members.items()
            if member != (field.default_factory() if callable(field.default_factory) else field.default)
        }
    return [_without_defaults(item) for item in value] if isinstance(value, list | tuple) else value


class Gate(msgspec.Struct, frozen=True, omit_defaults=True):
    """The offline gate of a version, for one suite digest. A prompt that names no suite passes with
    `suite` "none": a recorded choice of its owner, not an oversight."""

    state: Literal["pending", "passed", "failed"]
    suite: str = "none"
    at: float = 0.0
    detail: str = ""


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """One immutable version. `number` counts 1, 2, 3 within the prompt."""

    prompt: str
    number: int
    digest: str
    content: Content
    created_at: float
    created_by: str

    def __post_init__(self) -> None:
        check_name(self.prompt, "prompt")
        if self.number < 1:
            raise InvalidValue(f"version numbers start at 1, not {self.number}", param="version")


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known beside a version: append-only, newest wins, never part of the digest."""

    owner: str = ""
    description: str = ""
    change: str = ""
    model_card: str = ""
    suite: str = ""
    extra: dict[str, Any] = {}
