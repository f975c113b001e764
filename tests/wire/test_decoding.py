"""Request encodings: undone, with a cap; what is damaged or unknown is said."""

import gzip
import zlib

import pytest

from gateway.errors import BodyTooLarge, MalformedRequest, UnsupportedEncoding
from gateway.wire.decoding import decode_body

TEXT = b'{"a":1}' * 100


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


@pytest.mark.parametrize("encoding", [b"zstd", b"br", b"gzip, gzip", b"\xff"])
def test_what_is_not_supported_is_said(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip, deflate or identity"):
        decode_body(b"x", encoding, 10)


def test_bombs_stop_at_the_limit() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    with pytest.raises(BodyTooLarge):
        decode_body(bomb, b"gzip", 1_000_000)
    with pytest.raises(MalformedRequest, match="members"):
        decode_body(gzip.compress(b"") * 100_000, b"gzip", 1_000_000)
    for body in (b"", b"x", b"\x1f\x8b", b"\x78"):
        for encoding in (b"gzip", b"deflate"):
            with pytest.raises(MalformedRequest):
                decode_body(body, encoding, 10)
