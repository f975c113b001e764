"""A version's options on their way into a request: the client's own win unless they are locked.

Prompts are written in the words of chat completions; an API that has another word for one of them says so
in a table of its own. What it has no word for is sent as it stands: the provider says best what it does not
know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.domain.prompt import Model
from gateway.errors import InvalidJson, InvalidValue
from gateway.wire.splice import Fields, replace, split

RESERVED = ("model", "prompt", "stream", "stream_options")  # in every API
_ENCODER: Final = msgspec.json.Encoder()


class Option(NamedTuple):
    """One member to set, as JSON text: `field`, or `field.inner` where the API keeps it inside of an object.

    `synonyms` are other names of the same limit: a client that sets one has chosen, and sending both is
    refused upstream.
    """

    field: str
    value: bytes
    locked: bool = False
    inner: str = ""
    synonyms: tuple[str, ...] = ()


def check_reserved(model: Model, *own: str) -> None:
    """`own` are an API's fields that the prompt itself fills. Raises `InvalidValue`."""
    if found := sorted({*RESERVED, *own} & model.options.keys()):
        raise InvalidValue(
            f"model.options cannot set {found[0]}: that is the gateway's or the client's",
            param="model.options",
        )


def compile_options(
    model: Model, names: Mapping[str, str], synonyms: Mapping[str, tuple[str, ...]]
) -> list[Option]:
    """`names` translates chat's words, `field` or `field.inner`; of two of one name the later wins."""
    found: dict[tuple[str, str], Option] = {}
    for key, value in model.options.items():
        field, _, inner = names[key].partition(".") if key in names else (key, "", "")
        others = synonyms.get(field, ()) if not inner else ()
        found[field, inner] = Option(field, _ENCODER.encode(value), key in model.locked, inner, others)
    return list(found.values())


def apply_options(fields: Fields, options: Iterable[Option], edits: dict[str, bytes | None]) -> None:
    """Add what `options` change to `edits`. Raises `DuplicateKey`, and `InvalidValue` where a member would go
    into something that is no object."""
    nested: dict[str, list[Option]] | None = None
    for option in options:
        field, value, locked, inner, synonyms = option
        if inner:
            if nested is None:
                nested = {}
            nested.setdefault(field, []).append(option)
        elif synonyms:
            _apply_limit(fields, option, edits)
        elif locked or field not in fields:
            edits[field] = value
    if nested is not None:
        for field, inside in nested.items():
            _apply_inside(fields, field, inside, edits)


def _apply_limit(fields: Fields, option: Option, edits: dict[str, bytes | None]) -> None:
    given = [name for name in option.synonyms if name in fields]
    if (given or option.field in fields) and not option.locked:
        return
    edits[option.field] = option.value
    for name in given:
        edits[name] = None


def _apply_inside(fields: Fields, field: str, options: list[Option], edits: dict[str, bytes | None]) -> None:
    if fields.is_null(field):
        members = b",".join(_ENCODER.encode(option.inner) + b":" + option.value for option in options)
        edits[field] = b"{" + members + b"}"
        return
    inside: dict[str, bytes | None] = {}
    try:
        given = split(bytes(fields.get(field) or b""), what=field)
    except (InvalidValue, InvalidJson) as error:
        raise InvalidValue(f"{field} must be an object: {error.message}", param=field) from error
    for option in options:
        if option.locked or given.is_null(option.inner):
            inside[option.inner] = option.value
    if inside:
        edits[field] = b"".join(replace(given, inside))
