"""What all three APIs read in the same way, with complaints in the request's own words."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from gateway.errors import InvalidJson, InvalidValue
from gateway.wire.splice import LARGE, Fields

T = TypeVar("T")

KEPT_END: Final = 256 * 1024  # bytes

_ENCODER: Final = msgspec.json.Encoder()


def stream_of(fields: Fields) -> bool:
    """Raises `InvalidValue` for what is no boolean."""
    raw = fields.get("stream")
    if raw is None:
        return False
    text = bytes(raw)
    if text == b"true":
        return True
    if text in (b"false", b"null"):
        return False
    raise InvalidValue(f"stream must be true or false, not {short(text)}", param="stream")


def model_of(fields: Fields) -> str | None:
    """Raises `InvalidValue` for what is no string."""
    raw = fields.get("model")
    if raw is None:
        return None
    value: object = msgspec.json.decode(raw)
    if value is None or isinstance(value, str):
        return value
    raise InvalidValue(f"model must be a string, not {short(bytes(raw))}", param="model")


def decode_list(raw: msgspec.Raw, decoder: msgspec.json.Decoder[list[T]], param: str) -> list[T]:
    """An array of objects. Raises `InvalidValue`, which names the element at fault, and `InvalidJson`."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        # msgspec's "$[3].role" is messages[3].role
        detail = str(error).replace("`$", f"`{param}")
        raise InvalidValue(
            f"{param} must be an array of objects with a role: {detail}", param=param
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"{param} cannot be read: {error}", param=param) from error


def beginning(raw: msgspec.Raw) -> bytes:
    """What a conversation begins with, as its fingerprint takes it: as sent, and above 1 MiB the length and
    both ends, which tell images apart as well and are not copied and hashed for 60 ms."""
    if len(raw) <= LARGE:
        return bytes(raw)
    view = memoryview(raw)
    return b"%d:%b%b" % (len(raw), bytes(view[:KEPT_END]), bytes(view[-KEPT_END:]))


def text_json(text: str) -> bytes:
    """A text as JSON, with its quotes. Raises `InvalidValue` for a lone surrogate."""
    try:
        return _ENCODER.encode(text)
    except UnicodeEncodeError as error:
        raise InvalidValue("a message of the prompt holds a lone surrogate, which is no character") from error


def short(text: bytes) -> str:
    return text[:60].decode("utf-8", "replace")
