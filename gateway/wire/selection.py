"""Which prompt a request asks for; the first that applies:

    body     "prompt": {"id": name, "version": 3, "variables": {…}}, OpenAI's own object
    header   x-prompt: name | name@label | name/version
    path     /p/{name}/v1/…, so that base_url alone binds an application
    model    an alias from the configuration
    default  the listener's

Nothing applies: the request passes unchanged. Whether an explicit version may be served is decided elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from gateway.domain.names import NAME
from gateway.errors import InvalidValue, InvalidVariables
from gateway.wire.shapes import PromptReference
from gateway.wire.splice import Fields

PROMPT_HEADER: Final = b"x-prompt"
VARIABLES_HEADER: Final = b"x-prompt-variables"
PATH_PREFIX = b"/p/"
MAX_VERSION_DIGITS: Final = 9

Source = Literal["body", "header", "path", "model", "default"]


class Selection(msgspec.Struct, frozen=True):
    """At most one of `label` and `version` is set; with neither, the deployment decides."""

    prompt: str
    label: str | None
    version: int | None
    variables: Mapping[str, Any]
    source: Source


_PROMPT: Final = msgspec.json.Decoder(PromptReference)
_VARIABLES: Final = msgspec.json.Decoder(dict[str, Any])
_NONE: Final[Mapping[str, Any]] = {}


def split_path(path: bytes) -> tuple[str | None, bytes]:
    """`/p/{name}/rest` is (name, `/rest`); any other path is (None, path). Raises `InvalidValue`."""
    if not path.startswith(PATH_PREFIX):
        return None, path
    name, slash, rest = path[len(PATH_PREFIX) :].partition(b"/")
    if not slash:
        raise InvalidValue("a path that begins with /p/ goes on as /p/{prompt}/v1/…", param="path")
    return _name(name.decode("latin-1"), "path"), b"/" + rest


def select(
    path_prompt: str | None,
    headers: Mapping[bytes, bytes],
    fields: Fields,
    aliases: Mapping[str, str],
    default: str | None,
) -> Selection | None:
    """`path_prompt` is what `split_path` found; `headers` have lower-case names. Raises `InvalidValue` or
    `InvalidVariables`, with the field at fault as `param`."""
    if not fields.is_null("prompt"):
        return _from_body(fields, headers)
    named = headers.get(PROMPT_HEADER)
    source: Source
    label = version = None
    if named is not None:
        source = "header"
        prompt, label, version = _reference(named.strip().decode("latin-1"), "x-prompt")
    elif path_prompt is not None:
        source, prompt = "path", path_prompt
    elif aliases and (alias := _alias(fields, aliases)) is not None:
        source, prompt = "model", alias
    elif default is not None:
        source, prompt = "default", default
    else:
        return None
    return Selection(prompt, label, version, _header_variables(headers), source)


def _from_body(fields: Fields, headers: Mapping[bytes, bytes]) -> Selection:
    raw = fields.get("prompt") or msgspec.Raw()
    try:
        given = _PROMPT.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidValue(
            f"prompt must be an object of id, version and variables: {error}", param="prompt"
        ) from error
    prompt, label, version = _reference(given.id, "prompt.id")
    if given.version is not None:
        if label is not None or version is not None:
            raise InvalidValue(
                "prompt.id names a version already; leave out one of them", param="prompt.version"
            )
        version = _version(str(given.version), "prompt.version")
    variables = given.variables if given.variables is not None else _header_variables(headers)
    return Selection(prompt, label, version, variables, "body")


def _alias(fields: Fields, aliases: Mapping[str, str]) -> str | None:
    raw = fields.get("model")
    if raw is None:
        return None
    model = msgspec.json.decode(raw)
    return aliases.get(model) if isinstance(model, str) else None


def _reference(text: str, param: str) -> tuple[str, str | None, int | None]:
    """name, name@label or name/version."""
    name, at, label = text.partition("@")
    if at:
        return _name(name, param), _name(label, param), None
    name, slash, version = text.partition("/")
    return _name(name, param), None, _version(version, param) if slash else None


def _name(value: str, param: str) -> str:
    if not NAME.match(value):
        raise InvalidValue(
            f"{param}: {value[:80]!r} is not a name: use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting "
            "with a letter or digit",
            param=param,
        )
    return value


def _version(value: str, param: str) -> int:
    digits = value.isascii() and value.isdigit() and len(value) <= MAX_VERSION_DIGITS
    if not digits or int(value) < 1:
        raise InvalidValue(
            f"{param}: {value[:80]!r} is not a version: versions are 1, 2, 3 and so on; "
            "a label goes as name@label",
            param=param,
        )
    return int(value)


def _header_variables(headers: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    value = headers.get(VARIABLES_HEADER)
    if value is None:
        return _NONE
    text = value.strip()
    try:
        if not text.startswith(b"{"):
            unpadded = text.rstrip(b"=")
            text = base64.b64decode(unpadded + b"=" * (-len(unpadded) % 4), b"-_", validate=True)
        return _VARIABLES.decode(text)
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError, RecursionError) as error:
        raise InvalidVariables(
            f"x-prompt-variables must be a JSON object, or base64url of one: {error}",
            param="x-prompt-variables",
        ) from error
