"""A request that no prompt is put into, but whose body names the model that decides where it goes.

Its body is held like a managed one's. It passes unchanged; one that cannot be read names no model.
"""

from __future__ import annotations

from gateway.errors import ClientError
from gateway.proxy.base import Head
from gateway.proxy.managed import Managed
from gateway.wire.decoding import decode_body
from gateway.wire.forwarding import model_of
from gateway.wire.splice import split


class Named(Managed):
    __slots__ = ()

    def _select(self, body: bytes) -> None:
        encoding = self.headers.get(b"content-encoding")
        try:
            text = body
            if encoding is not None:
                text = decode_body(body, encoding, self.worker.settings.limits.body_bytes)
            model = model_of(split(text))
        except ClientError:
            model = None
        self._pass_unchanged(body, model)


def names_model(head: Head) -> bool:
    """Whether the body can be one that names a model."""
    content_type = head.get(b"content-type")
    return head.method == b"POST" and content_type is not None and b"json" in content_type.lower()
