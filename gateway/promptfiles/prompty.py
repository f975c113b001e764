"""Prompt files: the subset of Microsoft's Prompty v2 (`.prompty`) that a gateway can keep its word on.

    ---
    name: support-agent              required
    description: …                   metadata: beside the version, never in its digest
    metadata: {owner, change, model_card, canary: {suite, …}, anything else}
    model: {id, provider, options}   or `model: client`: the client chooses
    inputs: [{name, kind, required, default, enumValues, description}]
    outputs: [{name, kind, …}]       becomes the response schema
    gateway: {client_system: keep | replace | refuse, locked: [temperature, …]}
    ---
    system:
    …

`gateway` is ours; it is part of the content. Whatever is not understood is refused with its line, since a
field that is silently ignored is a prompt that does something else than its author reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from gateway.domain.names import check_name
from gateway.domain.prompt import Content, Metadata, Model, SystemPolicy, digest
from gateway.errors import InvalidValue, PromptFileError, TemplateError
from gateway.promptfiles import body, fields, front_matter
from gateway.promptfiles.front_matter import Field
from gateway.promptfiles.template import compile_template

MAX_BYTES = 256 * 1024
CLIENT: Literal["client"] = "client"  # as a model: whichever the client asks for

_TOP = ("name", "description", "metadata", "model", "inputs", "outputs", "template", "gateway")
_METADATA = ("owner", "change", "model_card", "canary")
_POLICIES: tuple[SystemPolicy, ...] = get_args(SystemPolicy)


@dataclass(frozen=True, slots=True)
class PromptFile:
    name: str
    content: Content
    metadata: Metadata


def parse(text: str, *, source: str) -> PromptFile:
    """Read a prompt file; `source` names it in messages. Raises `PromptFileError`: source:line, field, what
    is allowed."""
    text = _normal(text, source)
    root, written_body, first_line = front_matter.read(text, source)
    top = root.mapping(_TOP)
    placed = body.split(written_body, source, first_line)
    try:
        content = Content(
            messages=tuple(each.message for each in placed),
            inputs=fields.read_inputs(top["inputs"]) if "inputs" in top else (),
            outputs=fields.read_outputs(top["outputs"]) if "outputs" in top else None,
            model=_model(top),
            client_system=_client_system(top),
        )
        digest(content)
    except InvalidValue as error:
        raise PromptFileError(f"{source}:1: {error.message}", param=error.param) from error
    if "template" in top:
        _check_template(top["template"])
    _check_locked(top, content)
    _check_templates(placed, content, source)
    return PromptFile(_name(root, top), content, _metadata(top))


def write(prompt_file: PromptFile) -> str:
    """The file that `parse` reads back as the same content and metadata. Raises `PromptFileError` for content
    that a file cannot hold."""
    content, metadata = prompt_file.content, prompt_file.metadata
    front: dict[str, Any] = {"name": prompt_file.name}
    if metadata.description:
        front["description"] = metadata.description
    if beside := _write_metadata(metadata):
        front["metadata"] = beside
    if model := _write_model(content.model, metadata.extra.get("provider")):
        front["model"] = model
    if content.inputs:
        front["inputs"] = fields.write_inputs(content.inputs)
    if content.outputs is not None:
        front["outputs"] = fields.write_outputs(content.outputs)
    if gateway := _write_gateway(content):
        front["gateway"] = gateway
    text = f"---\n{front_matter.dump(front)}---\n{body.join(content.messages)}"
    again = parse(text, source=f"{prompt_file.name}.prompty")
    if digest(again.content) != digest(content) or again.metadata != metadata:
        raise PromptFileError("this prompt cannot be written as a file: read back, it would be another")
    return text


def _normal(text: str, source: str) -> str:
    """Without byte order mark, with line ends of LF."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        line = 1 + text.count("\n", 0, error.start)
        raise PromptFileError(
            f"{source}:{line}: the file holds a lone surrogate, which is no character"
        ) from error
    if size > MAX_BYTES:
        raise PromptFileError(f"{source}:1: the file has {size} bytes, allowed are {MAX_BYTES}")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _name(root: Field, top: dict[str, Field]) -> str:
    if "name" not in top:
        root.fail("'name' is missing: it is the prompt's name")
    field = top["name"]
    try:
        return check_name(field.text(), "name")
    except InvalidValue as error:
        field.fail(error.message.removeprefix("name "))


# --- model and gateway
def _model(top: dict[str, Field]) -> Model:
    field = top.get("model")
    locked = _locked(top)
    if field is None:
        return Model(locked=locked)
    if not isinstance(field.value, dict):
        return Model(id=_model_id(field), locked=locked)
    members = field.mapping(("id", "provider", "apiType", "options"))
    if "apiType" in members:
        members["apiType"].choice(("chat",))
    if "provider" in members:
        members["provider"].text()
    return Model(
        id=_model_id(members["id"]) if "id" in members else None,
        options=fields.read_options(members["options"]) if "options" in members else {},
        locked=locked,
    )


def _model_id(field: Field) -> str | None:
    text = field.text()
    if not text.strip() or len(text) > 256:
        field.fail(f"must be a model's id of 1 to 256 characters, or {CLIENT!r}")
    return None if text == CLIENT else text


def _gateway(top: dict[str, Field]) -> dict[str, Field]:
    return top["gateway"].mapping(("client_system", "locked")) if "gateway" in top else {}


def _client_system(top: dict[str, Field]) -> SystemPolicy:
    field = _gateway(top).get("client_system")
    if field is None:
        return "keep"
    name = field.choice(_POLICIES)
    return next(policy for policy in _POLICIES if policy == name)


def _locked(top: dict[str, Field]) -> tuple[str, ...]:
    """Request fields; the file may give them Prompty's names."""
    field = _gateway(top).get("locked")
    names = [item.text() for item in field.items()] if field is not None else []
    return tuple(fields.OPTIONS[name].field if name in fields.OPTIONS else name for name in names)


def _check_locked(top: dict[str, Field], content: Content) -> None:
    lockable = set(content.model.options) | ({"response_format"} if content.outputs is not None else set())
    if content.outputs is not None and "response_format" in content.model.options:
        top["outputs"].fail("model.options sets response_format already: remove one of them")
    for item, name in zip(_locked_items(top), content.model.locked, strict=True):
        if name not in lockable:
            there = ", ".join(sorted(lockable)) or "none"
            item.fail(f"{name[:80]!r} is not set by this prompt; options that can be locked: {there}")


def _locked_items(top: dict[str, Field]) -> list[Field]:
    field = _gateway(top).get("locked")
    return [] if field is None else field.items()


def _check_template(field: Field) -> None:
    """`template: jinja2`, or Prompty's `template: {format: …, parser: …}`."""
    if not isinstance(field.value, dict):
        field.choice(("jinja2",))
        return
    for key, member in field.mapping(("format", "parser")).items():
        named = member.mapping(("kind",)).get("kind", member) if isinstance(member.value, dict) else member
        named.choice(("jinja2",) if key == "format" else ("prompty",))


def _check_templates(placed: list[body.Placed], content: Content, source: str) -> None:
    names = frozenset(item.name for item in content.inputs)
    for each in placed:
        for part, line in zip(each.message.parts, each.lines, strict=True):
            try:
                compile_template(part.template, names=names, where=source, first_line=line)
            except TemplateError as error:
                raise PromptFileError(error.message, param="template") from error


def _write_model(model: Model, provider: Any) -> dict[str, Any]:
    written: dict[str, Any] = {} if model.id is None else {"id": model.id}
    if provider is not None:
        written["provider"] = provider
    if model.options:
        written["options"] = fields.write_options(model.options)
    return written


def _write_gateway(content: Content) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if content.client_system != "keep":
        written["client_system"] = content.client_system
    if content.model.locked:
        written["locked"] = [fields.PROMPTY_NAMES.get(name, name) for name in content.model.locked]
    return written


# --- metadata
def _metadata(top: dict[str, Field]) -> Metadata:
    members = top["metadata"].mapping() if "metadata" in top else {}
    if "provider" in members:
        members["provider"].fail("belongs under model.provider")
    extra = {key: member.json() for key, member in members.items() if key not in _METADATA}
    if "model" in top and isinstance(top["model"].value, dict) and "provider" in top["model"].value:
        extra["provider"] = top["model"].value["provider"].text()
    suite = ""
    if "canary" in members:
        canary = members["canary"].mapping()
        suite = canary["suite"].text() if "suite" in canary else ""
        rest = {key: member.json() for key, member in canary.items() if key != "suite"}
        extra |= {"canary": rest} if rest else {}
    return Metadata(
        owner=_text(members, "owner"),
        description=_text(top, "description"),
        change=_text(members, "change"),
        model_card=_text(members, "model_card"),
        suite=suite,
        extra=extra,
    )


def _text(members: dict[str, Field], key: str) -> str:
    return members[key].text() if key in members else ""


def _write_metadata(metadata: Metadata) -> dict[str, Any]:
    written: dict[str, Any] = {
        key: value
        for key in ("owner", "change", "model_card")
        if (value := getattr(metadata, key))  # empty says the same as absent
    }
    canary = ({"suite": metadata.suite} if metadata.suite else {}) | metadata.extra.get("canary", {})
    if canary:
        written["canary"] = canary
    return written | {k: v for k, v in metadata.extra.items() if k not in ("canary", "provider")}
