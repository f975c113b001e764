"""Undo the Content-Encoding of a request body that must be read (RFC 9110 section 8.4), with a cap.

gzip (RFC 1952, several members too) and deflate (RFC 1950; the bare RFC 1951 form that some clients send is
taken as well). Anything else is answered 415 with what is supported.
"""

import zlib

from gateway.errors import BodyTooLarge, MalformedRequest, UnsupportedEncoding, UpstreamBroken

MAX_MEMBERS = 8  # each member costs a copy of what follows it
GZIP = (b"gzip", b"x-gzip")

_GZIP = zlib.MAX_WBITS | 16
_IDENTITY = (b"", b"identity")


def decode_body(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """The body without its encoding, at most `limit` bytes. Raises `UnsupportedEncoding`, `BodyTooLarge`, or
    `MalformedRequest` for a body that is damaged or cut short."""
    name = (encoding or b"").strip().lower()
    if name in _IDENTITY:
        return body
    if name in GZIP:
        return _inflate(body, _GZIP, limit)
    if name == b"deflate":
        # A zlib header is a multiple of 31 with method 8 (RFC 1950 section 2.2).
        zlib_header = len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _inflate(body, zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS, limit)
    shown = name.decode("latin-1")
    raise UnsupportedEncoding(
        f"content-encoding {shown!r} is not supported here: send gzip, deflate or identity",
        param="content-encoding",
    )


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    pieces = []
    size = 0
    rest = body
    for _ in range(MAX_MEMBERS):
        engine = zlib.decompressobj(window)
        try:
            piece = engine.decompress(rest, limit + 1 - size)
        except zlib.error as error:
            raise MalformedRequest(
                f"the body is not in its content-encoding: {error}", param="content-encoding"
            ) from error
        size += len(piece)
        pieces.append(piece)
        if size > limit:
            raise BodyTooLarge(f"the body expands to more than {limit} bytes, which is the limit")
        if not engine.eof:
            raise MalformedRequest("the compressed body is cut short", param="content-encoding")
        if not engine.unused_data:
            return b"".join(pieces)
        if window != _GZIP:
            raise MalformedRequest("bytes follow the end of the compressed body", param="content-encoding")
        rest = engine.unused_data
    raise MalformedRequest(f"a gzip body has at most {MAX_MEMBERS} members", param="content-encoding")


class Inflater:
    """A gzip answer as it comes: what each chunk says is there at once, and `complete` tells a whole one."""

    __slots__ = ("_engine",)

    def __init__(self) -> None:
        self._engine = zlib.decompressobj(_GZIP)

    def feed(self, data: bytes) -> bytes:
        """Raises `UpstreamBroken`."""
        try:
            found = self._engine.decompress(data)
            while self._engine.eof and self._engine.unused_data:  # another member
                rest = self._engine.unused_data
                self._engine = zlib.decompressobj(_GZIP)
                found += self._engine.decompress(rest)
        except zlib.error as error:
            raise UpstreamBroken(f"the provider's answer is not the gzip it says it is: {error}") from error
        return found

    @property
    def complete(self) -> bool:
        return self._engine.eof
