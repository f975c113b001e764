"""`/v1/models` with the aliases of the configuration: they go first, the provider's entries keep their bytes.

Two shapes of one list: OpenAI's, and Anthropic's for clients that send `anthropic-version`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.errors import ClientError
from gateway.wire.splice import cut, split

PATH = b"/v1/models"
OWNER = "prompt-canary"

_ENCODER = msgspec.json.Encoder()


class _Model(msgspec.Struct):
    id: str | None = None


_MODELS = msgspec.json.Decoder(list[_Model])


def entry(alias: str, *, anthropic: bool) -> bytes:
    """One model as JSON. When it was made is not known, so it is the epoch."""
    if anthropic:
        created = "1970-01-01T00:00:00Z"
        return _ENCODER.encode({"type": "model", "id": alias, "display_name": alias, "created_at": created})
    return _ENCODER.encode({"id": alias, "object": "model", "created": 0, "owned_by": OWNER})


def listing(aliases: Iterable[str], *, anthropic: bool) -> bytes:
    """The list where the provider has none."""
    entries = b",".join(entry(alias, anthropic=anthropic) for alias in aliases)
    if anthropic:
        return b'{"data":[%b],"has_more":false,"first_id":null,"last_id":null}' % entries
    return b'{"object":"list","data":[%b]}' % entries


def merged(body: bytes, aliases: Iterable[str], *, anthropic: bool) -> bytes | None:
    """The provider's list with those aliases that it does not name itself; None if it is no such list."""
    try:
        fields = split(body)
        data = fields.get("data")
        known = None if data is None else {model.id for model in _MODELS.decode(data)}
    except (ClientError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if known is None:
        return None
    entries = b",".join(entry(alias, anthropic=anthropic) for alias in aliases if alias not in known)
    if not entries:
        return body
    start = fields.spans["data"][1] + 1
    return b"".join(cut(body, [(start, start, (entries, b",") if known else (entries,))]))
