"""Which session a request belongs to: a key that the client sends, else a fingerprint of its conversation.

Chat clients resend the history, so the first system or developer message, the first user message and the
tool names are the same on every turn: affinity without any change in the client. They are taken as sent, from
the client's own messages, before anything of ours is put in.

The key leaves this module only as a keyed hash, scoped by prompt and by the gateway's own key id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from gateway.wire.api import Request
from gateway.wire.shapes import Identified, Tool
from gateway.wire.splice import Fields

MAX_KEY: Final = 512  # bytes
HASH_BYTES: Final = 16

NoKey = Literal["absent", "over_long"]


class SessionKey(msgspec.Struct, frozen=True):
    """`kind` is the source it came from; `raw` is what the client sent. A key of kind `previous_response_id`
    is an alias to be looked up first."""

    kind: str
    raw: bytes


_TOOLS: Final = msgspec.json.Decoder(list[Tool])
_METADATA: Final = msgspec.json.Decoder(dict[str, Any])
_TEXT: Final = msgspec.json.Decoder(str)
_CONVERSATION: Final = msgspec.json.Decoder(str | Identified)


def find_session(
    sources: Sequence[str],
    header_names: Sequence[bytes],
    headers: Mapping[bytes, bytes],
    fields: Fields,
    request: Request,
) -> SessionKey | NoKey:
    """The first of `sources` that gives a key. A value of the wrong type or an empty one gives none; a key
    above 512 bytes is no session (`over_long`), and later sources are not asked."""
    for source in sources:
        if source == "header":
            raw = _first_of(header_names, headers)
        elif source == "fingerprint":
            raw = fingerprint(fields, request)
        else:
            raw = _from_body(source, fields)
        if raw:
            return SessionKey(source, raw) if len(raw) <= MAX_KEY else "over_long"
    return "absent"


def _first_of(names: Sequence[bytes], headers: Mapping[bytes, bytes]) -> bytes:
    for name in names:
        value = headers.get(name)
        if value:
            return value
    return b""


def fingerprint(fields: Fields, request: Request) -> bytes:
    """16 bytes over the conversation's beginning; empty if there is no user message yet."""
    if not request.first_user:
        return b""
    # Lengths keep (ab, c) and (a, bc) apart.
    parts = (request.first_system, request.first_user, *tool_names(fields))
    framed = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return hashlib.blake2b(framed, digest_size=HASH_BYTES, person=b"fingerprint").digest()


def tool_names(fields: Fields) -> list[bytes]:
    """The tools' names as JSON text, in order; none if `tools` is not a list of objects."""
    raw = fields.get("tools")
    if raw is None:
        return []
    try:
        tools = _TOOLS.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return []
    return [bytes(tool.function.name if tool.function is not None else tool.name) for tool in tools]


def session_hash(secret: bytes, prompt: str, key_scope: bytes, key: SessionKey) -> bytes:
    """16 bytes of keyed BLAKE2b (RFC 7693) over prompt, scope, kind and key; a secret above 64 bytes is
    hashed first, as in HMAC."""
    hasher = _keyed(secret, prompt, key_scope, key.kind).copy()
    hasher.update(key.raw)
    return hasher.digest()


@lru_cache(maxsize=1024)  # many sessions begin alike, and the key costs a block of its own
def _keyed(secret: bytes, prompt: str, key_scope: bytes, kind: str) -> hashlib.blake2b:
    if len(secret) > hashlib.blake2b.MAX_KEY_SIZE:
        secret = hashlib.blake2b(secret).digest()
    # Names hold no NUL; the scope's length keeps scope and key apart.
    message = b"%b\0%b\0%d:%b" % (prompt.encode(), kind.encode(), len(key_scope), key_scope)
    return hashlib.blake2b(message, key=secret, digest_size=HASH_BYTES, person=b"session")


def _from_body(source: str, fields: Fields) -> bytes:
    """A string of the body: the field `source`, or `metadata.session_id`, or a conversation's id."""
    name, _, inner = source.partition(".")
    raw = fields.get(name)
    if raw is None:
        return b""
    value: Any
    try:
        if inner:
            value = _METADATA.decode(raw).get(inner)
        elif name == "conversation":
            value = _CONVERSATION.decode(raw)
        else:
            value = _TEXT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    if isinstance(value, Identified):
        value = value.id
    return value.encode() if isinstance(value, str) else b""
