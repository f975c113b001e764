"""Domain values to bytes (JSON) and back. What cannot be read names its key: nobody should have to guess."""

from typing import Any, TypeVar

import msgspec

from gateway.errors import GatewayError
from gateway.storage.base import Document

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()


def encode(value: msgspec.Struct) -> bytes:
    return _ENCODER.encode(value)


def decode(value: bytes, kind: type[T], *, key: str) -> T:
    """Raises `GatewayError` if `value` is not JSON, or not a `kind`. Unknown fields are ignored, so that a
    newer gateway of the same fleet may write them."""
    try:
        return _decoder(kind).decode(value)
    except (msgspec.MsgspecError, GatewayError, RecursionError, UnicodeDecodeError) as error:
        raise GatewayError(
            f"document {key!r} cannot be read as {kind.__name__}: {error}", param=key
        ) from error


def decode_document(document: Document, kind: type[T]) -> T:
    return decode(document.value, kind, key=document.key)


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    if kind not in _decoders:
        _decoders[kind] = msgspec.json.Decoder(kind)
    return _decoders[kind]
