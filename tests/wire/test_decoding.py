"""Request encodings: undone, with a cap; what is damaged or unknown is said."""

import gzip
import sys
import zlib

import pytest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from gateway.errors import BodyTooLarge, MalformedRequest, UnsupportedEncoding
from gateway.wire.decoding import decode_body

TEXT = b'{"a":1}' * 100
SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"  # RFC 8878 section 3.1.2


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, TEXT),
        (b"identity", TEXT),
        (b" GZIP ", gzip.compress(TEXT, mtime=0)),
        (b"x-gzip", gzip.compress(TEXT[:70], mtime=0) + gzip.compress(TEXT[70:], mtime=0)),
        (b"zstd", zstd.compress(TEXT)),
        (b"zstd", zstd.compress(TEXT[:70]) + SKIPPABLE + zstd.compress(TEXT[70:])),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", raw_deflate(TEXT)),
    ],
)
def test_encodings_are_undone(encoding: bytes | None, body: bytes) -> None:
    assert decode_body(body, encoding, len(TEXT)) == TEXT
    if encoding and encoding != b"identity":
        with pytest.raises(BodyTooLarge):
            decode_body(body, encoding, len(TEXT) - 1)
        with pytest.raises(MalformedRequest):
            decode_body(body[:-9], encoding, len(TEXT))
        with pytest.raises(MalformedRequest):
            decode_body(body + b"x", encoding, len(TEXT))


@pytest.mark.parametrize("encoding", [b"br", b"compress", b"gzip, gzip", b"\xff"])
def test_what_is_not_supported_is_said(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip, zstd, deflate or identity"):
        decode_body(b"x", encoding, 10)


def test_bombs_stop_at_the_limit() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    with pytest.raises(BodyTooLarge):
        decode_body(bomb, b"gzip", 1_000_000)
    with pytest.raises(MalformedRequest, match="members"):
        decode_body(gzip.compress(b"") * 100_000, b"gzip", 1_000_000)
    for body in (b"", b"x", b"\x1f\x8b", b"\x78"):
        for encoding in (b"gzip", b"deflate", b"zstd"):
            with pytest.raises(MalformedRequest):
                decode_body(body, encoding, 10)


def test_zstd_bombs_stop_at_the_limit() -> None:
    with pytest.raises(BodyTooLarge):
        decode_body(zstd.compress(b"\0" * 50_000_000), b"zstd", 1_000_000)
    with pytest.raises(MalformedRequest, match="frames"):
        decode_body(zstd.compress(b"") * 100_000, b"zstd", 1_000_000)


@pytest.mark.parametrize(("window", "taken"), [(23, True), (24, False), (27, False)])
def test_a_zstd_frame_may_ask_for_8_mib_of_window(window: int, taken: bool) -> None:
    engine = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
    body = engine.compress(TEXT) + engine.flush()  # a stream: its size is not known, so the window is
    if taken:
        assert decode_body(body, b"zstd", len(TEXT)) == TEXT
    else:
        with pytest.raises(MalformedRequest, match="content-encoding"):
            decode_body(body, b"zstd", len(TEXT))
