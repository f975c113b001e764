"""Several requests in one stream, upgrades, 100 Continue, handlers that answer early, clients that leave."""

from tests.proxy.attack_corpus.rows import CHUNKED, GET, HELLO, NEXT, POST, Row, last, left, refused, served

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
EXPECT = b"Expect: 100-continue\r\n"
SIZED = b"Content-Length: 5\r\n"
EARLY = b"POST /early HTTP/1.1\r\nHost: a\r\n"  # the handler answers 401 as soon as it sees the head
NEVER = b"POST /never HTTP/1.1\r\nHost: a\r\n"  # the handler does not answer

ROWS = (
    # --- upgrades are declined, bodies are kept
    served("h2c", GET + H2C + b"\r\n", b""),
    served("h2c with a body, as JDK clients", POST + H2C + SIZED + b"\r\nhello", b"hello"),
    served("h2c with chunks", POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO, b"hello"),
    served("h2c, then the next request", POST + H2C + SIZED + b"\r\nhello" + NEXT, b"hello", b""),
    served(
        "h2c with chunks, then the next request",
        POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO + NEXT,
        b"hello",
        b"",
    ),
    served("h2c on the second request", NEXT + POST + H2C + SIZED + b"\r\nhello", b"", b"hello"),
    refused("h2c with CL and TE", POST + H2C + SIZED + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO),
    refused("h2c with TE twice", POST + H2C + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n" + HELLO),
    refused("h2c with TE gzip", POST + H2C + b"Transfer-Encoding: gzip\r\n\r\n" + HELLO, 501),
    refused("h2c with a bad chunk", POST + H2C + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", gone=1),
    served("websocket", GET + WEBSOCKET + b"\r\n", b""),
    served("websocket, then the next request", GET + WEBSOCKET + b"\r\n" + NEXT, b"", b""),
    served("upgrade to TLS", GET + b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", b""),
    served("Upgrade without Connection", GET + b"Upgrade: h2c\r\n\r\n", b""),
    # --- Expect
    Row("expect", POST + EXPECT + SIZED + b"\r\nhello", (100, 200), (b"hello",), "kept"),
    Row("expect, body not sent yet", POST + EXPECT + SIZED + b"\r\n", (100,), (), "kept"),
    Row(
        "expect with chunks",
        POST + EXPECT + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO,
        (100, 200),
        (b"hello",),
        "kept",
    ),
    Row(
        "expect in upper case",
        POST + b"Expect: 100-CONTINUE\r\n" + SIZED + b"\r\nhello",
        (100, 200),
        (b"hello",),
        "kept",
    ),
    served("expect without a body", GET + EXPECT + b"\r\n", b""),
    last(
        "expect with HTTP/1.0",
        (POST + EXPECT + SIZED + b"\r\nhello").replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"hello",
    ),
    refused("expect something else", POST + b"Expect: 200-ok\r\n" + SIZED + b"\r\nhello", 417),
    refused("expect two things", POST + b"Expect: 100-continue, x\r\n" + SIZED + b"\r\nhello", 417),
    refused("expect twice", POST + EXPECT + EXPECT + SIZED + b"\r\nhello"),
    Row("expect, refused by the handler", EARLY + EXPECT + SIZED + b"\r\nhello" + NEXT, (401,), (), "closed"),
    # --- answered early
    Row("answered early, body follows", EARLY + SIZED + b"\r\nhello" + NEXT, (401, 200), (b"",), "kept"),
    Row(
        "answered early, chunks follow",
        EARLY + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO + NEXT,
        (401,),
        (),
        "closed",
    ),
    Row(
        "answered early, large body",
        EARLY + b"Content-Length: 1000000\r\n\r\nhello" + NEXT,
        (401,),
        (),
        "closed",
    ),
    Row("answered early, no body", EARLY + b"\r\n" + NEXT, (401, 200), (b"",), "kept"),
    # --- several requests
    served("two requests", NEXT + NEXT, b"", b""),
    served("thirty requests", NEXT * 30, *[b""] * 30),
    last("flood of 7,000 requests", NEXT * 7000, *[b""] * 1000),
    Row("good, then bad", NEXT + b"GET /\x00 HTTP/1.1\r\n\r\n" + NEXT, (200, 400), (b"",), "closed"),
    Row("good, then half", NEXT + b"GET /ne", (200,), (b"",), "kept"),
    Row("good, then TLS", NEXT + b"\x16\x03\x01\x02\x00", (200, 400), (b"",), "closed"),
    last("close first", GET + b"Connection: close\r\n\r\n" + NEXT, b""),
    last("close among others", GET + b"Connection: x, CLOSE , y\r\n\r\n" + NEXT, b""),
    last("close and keep-alive", GET + b"Connection: keep-alive, close\r\n\r\n" + NEXT, b""),
    served("HEAD", b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT, b"", b""),
    served("GET with a body", GET + SIZED + b"\r\nhello" + NEXT, b"hello", b""),
    served(
        "HEAD with a body", b"HEAD / HTTP/1.1\r\nHost: a\r\n" + SIZED + b"\r\nhello" + NEXT, b"hello", b""
    ),
    served("request in a body", POST + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT, NEXT),
    # --- clients that leave
    left("leaves at once", b""),
    left("leaves in the line", b"GET /v1"),
    left("leaves in the head", GET),
    left("leaves before the body", POST + SIZED + b"\r\n", gone=1),
    left("leaves in the body", POST + SIZED + b"\r\nhel", gone=1),
    left("leaves in the chunks", CHUNKED + b"5\r\nhel", gone=1),
    left("leaves before the last chunk", CHUNKED + b"5\r\nhello\r\n", gone=1),
    Row("leaves after the answer", NEXT, (200,), (b"",), "closed", eof=True),
    Row("leaves in the second head", NEXT + b"GET", (200,), (b"",), "closed", eof=True),
    Row(
        "half-closes while its answer is due",
        NEVER + SIZED + b"\r\nhello",
        (),
        (b"hello",),
        "closed",
        eof=True,
        gone=1,
    ),
    Row("pipelines behind an answer that is due", NEVER + b"\r\n" + NEXT * 10, (), (b"",), "kept"),
)
