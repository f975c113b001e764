"""Undo the Content-Encoding of a request body that must be read (RFC 9110 section 8.4), with a cap.

gzip (RFC 1952, several members too), zstd (RFC 8878, several frames too, with the window of RFC 9659: at
most 8 MiB) and deflate (RFC 1950; the bare RFC 1951 form that some clients send is taken as well). Anything
else is answered 415 with what is supported.
"""

import sys
import zlib
from collections.abc import Callable
from typing import Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from gateway.errors import BodyTooLarge, MalformedRequest, UnsupportedEncoding, UpstreamBroken

MAX_MEMBERS = 8  # each member or frame costs a copy of what follows it
MAX_WINDOW_LOG = 23  # RFC 9659 section 3; without it a frame may ask for 2 GiB
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
        return _expand(body, _gunzip, limit)
    if name == b"zstd":
        return _expand(body, _unzstd, limit)
    if name == b"deflate":
        # A zlib header is a multiple of 31 with method 8 (RFC 1950 section 2.2).
        zlib_header = len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
        window = zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS
        return _expand(body, lambda: zlib.decompressobj(window), limit, members=1)
    shown = name.decode("latin-1")
    raise UnsupportedEncoding(
        f"content-encoding {shown!r} is not supported here: send gzip, zstd, deflate or identity",
        param="content-encoding",
    )


class _Engine(Protocol):
    """One member or frame: what `zlib` and `zstd` have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _gunzip() -> _Engine:
    return zlib.decompressobj(_GZIP)


def _unzstd() -> _Engine:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG})


def _expand(body: bytes, engines: Callable[[], _Engine], limit: int, *, members: int = MAX_MEMBERS) -> bytes:
    pieces = []
    size = 0
    rest = body
    for _ in range(members):
        engine = engines()
        try:
            piece = engine.decompress(rest, limit + 1 - size)
        except (zlib.error, zstd.ZstdError) as error:
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
        rest = engine.unused_data
    if members == 1:
        raise MalformedRequest("bytes follow the end of the compressed body", param="content-encoding")
    raise MalformedRequest(
        f"a compressed body has at most {members} members or frames", param="content-encoding"
    )


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
