"""Where does a message end? Two answers to that question are a smuggled request."""

from tests.proxy.attack_corpus.rows import CHUNKED, HELLO, NEXT, POST, Row, last, refused, served, waiting

TE = b"Transfer-Encoding: chunked\r\n"


def length(value: bytes, body: bytes = b"hello") -> bytes:
    return POST + b"Content-Length: " + value + b"\r\n\r\n" + body


def coding(value: bytes) -> bytes:
    return POST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + HELLO


def chunk(body: bytes) -> bytes:
    return CHUNKED + body


ROWS = (
    # --- both
    refused("CL.TE", POST + b"Content-Length: 6\r\n" + TE + b"\r\n0\r\n\r\nG"),
    refused("CL.TE whole request smuggled", POST + b"Content-Length: 50\r\n" + TE + b"\r\n0\r\n\r\n" + NEXT),
    refused("TE.CL", POST + TE + b"Content-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"),
    refused("TE.CL that agree", POST + TE + b"Content-Length: 15\r\n\r\n" + HELLO),
    refused("CL zero and TE", POST + b"Content-Length: 0\r\n" + TE + b"\r\n" + HELLO + NEXT),
    refused("TE identity and CL", POST + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
    # --- TE.TE: one of them hidden
    refused("TE twice", POST + TE + TE + b"\r\n" + HELLO),
    refused("TE chunked then identity", POST + TE + b"Transfer-Encoding: identity\r\n\r\n" + HELLO),
    refused("TE identity then chunked", POST + b"Transfer-Encoding: identity\r\n" + TE + b"\r\n" + HELLO),
    refused("TE xchunked", coding(b"xchunked"), 501),
    refused("TE chunkedx", coding(b"chunkedx"), 501),
    refused("TE gzip", coding(b"gzip"), 501),
    refused("TE gzip, chunked", coding(b"gzip, chunked"), 501),
    refused("TE chunked, gzip", coding(b"chunked, gzip")),
    refused("TE chunked, chunked", coding(b"chunked, chunked")),
    refused("TE chunked, identity", coding(b"chunked, identity")),
    refused("TE identity", coding(b"identity"), 501),
    refused("TE trailing comma", coding(b"chunked,")),
    refused("TE leading comma", coding(b",chunked"), 501),
    refused("TE with parameter", coding(b"chunked;q=1"), 501),
    refused("TE quoted", coding(b'"chunked"'), 501),
    refused("TE empty", coding(b"")),
    refused("TE vertical tab", coding(b"\x0bchunked")),
    refused("TE form feed after", coding(b"chunked\x0c")),
    refused("TE NUL after", coding(b"chunked\x00")),
    refused("TE folded", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + HELLO),
    refused("TE name with space", POST + b"Transfer-Encoding : chunked\r\n\r\n" + HELLO),
    served(
        "TE name with underscore and CL",
        POST + b"Transfer_Encoding: chunked\r\n" + length(b"5")[len(POST) :],
        b"hello",
    ),
    refused("TE after bare CR", POST + b"X: a\rTransfer-Encoding: chunked\r\n\r\n" + HELLO),
    refused("TE after bare LF", POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n" + HELLO),
    refused("TE with HTTP/1.0", CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + HELLO),
    refused("TE with HTTP/1.0 and CL", b"POST / HTTP/1.0\r\nContent-Length: 5\r\n" + TE + b"\r\nhello"),
    served("TE upper case", coding(b"CHUNKED"), b"hello"),
    served("TE tab before", coding(b"\tchunked"), b"hello"),
    refused("TE white space after", coding(b"chunked \t "), 501),
    served("TE name in upper case", POST + b"TRANSFER-ENCODING: chunked\r\n\r\n" + HELLO, b"hello"),
    # --- Content-Length
    served("CL", length(b"5"), b"hello"),
    served("CL leading zeros", length(b"0005"), b"hello"),
    served("CL zero", length(b"0", b""), b""),
    served("CL white space around", length(b" \t5 "), b"hello"),
    waiting("CL longer than the body", length(b"6")),
    Row("CL shorter than the body", length(b"4"), (200,), (b"hell",), "kept"),
    Row("CL shorter, the rest is no request", length(b"4", b"hell\x00"), (200, 400), (b"hell",), "closed"),
    refused("CL twice, equal", length(b"5\r\nContent-Length: 5")),
    refused("CL twice, unequal", length(b"5\r\nContent-Length: 6")),
    refused("CL list, equal", length(b"5, 5")),
    refused("CL list, unequal", length(b"5, 6")),
    refused("CL plus", length(b"+5")),
    refused("CL negative", length(b"-5")),
    refused("CL hex", length(b"0x5")),
    refused("CL underscore", length(b"1_0")),
    refused("CL decimal", length(b"5.0")),
    refused("CL exponent", length(b"5e0")),
    refused("CL empty", length(b"")),
    refused("CL inner space", length(b"5 0")),
    refused("CL Arabic digits", length("٥".encode())),
    refused("CL overflow", length(b"9" * 30)),
    refused("CL just above 64 bits", length(b"18446744073709551621")),
    refused("CL 64 bits, all set", length(b"18446744073709551615")),
    refused("CL NUL", length(b"5\x00")),
    refused("CL name with tab", POST + b"Content-Length\t: 5\r\n\r\nhello"),
    refused("CL folded", POST + b"Content-Length:\r\n 5\r\n\r\nhello"),
    # --- chunks
    served("chunks", chunk(HELLO), b"hello"),
    served("two chunks", chunk(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), b"hello world"),
    served("no chunk", chunk(b"0\r\n\r\n"), b""),
    served("chunk holds an end of chunks", chunk(b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), b"\r\n0\r\n\r\n"),
    served(
        "chunk size upper and lower hex",
        chunk(b"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n"),
        b"01234567890123456789a",
    ),
    served("chunk size with leading zeros", chunk(b"00005\r\nhello\r\n000\r\n\r\n"), b"hello"),
    served("chunk size with many zeros", chunk(b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    served("chunk extension", chunk(b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), b"hello"),
    served("chunk extension quoted", chunk(b'5;a="b;c"\r\nhello\r\n0\r\n\r\n'), b"hello"),
    refused("chunk extension with LF", chunk(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk extension ends in LF", chunk(b"5;a\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk extension with CR", chunk(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk extension with NUL", chunk(b"5;\x00\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk extension quote holds CRLF", chunk(b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n'), gone=1),
    refused("chunk extension empty", chunk(b"5;;\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk extensions without end", chunk(b"5;" + b"a" * 17_000 + b"\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size space after", chunk(b"5 \r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size space before", chunk(b" 5\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size 0x", chunk(b"0x5\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size negative", chunk(b"-5\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size plus", chunk(b"+5\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size underscore", chunk(b"1_0\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size junk", chunk(b"g\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size empty", chunk(b"\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size overflow", chunk(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size ends in LF", chunk(b"5\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk size ends in CR", chunk(b"5\rhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk without CRLF", chunk(b"5\r\nhello0\r\n\r\n"), gone=1),
    refused("chunk ends in LF", chunk(b"5\r\nhello\n0\r\n\r\n"), gone=1),
    refused("chunk longer than its size", chunk(b"4\r\nhello\r\n0\r\n\r\n"), gone=1),
    refused("chunk ends in other bytes", chunk(b"5\r\nhelloXX0\r\n\r\n"), gone=1),
    refused("last chunk ends in LF", chunk(b"5\r\nhello\r\n0\n\n") + NEXT, gone=1),
    refused("last chunk CRLF LF", chunk(b"5\r\nhello\r\n0\r\n\n") + NEXT, gone=1),
    waiting("chunk not complete", chunk(b"5\r\nhel")),
    waiting("last chunk not complete", chunk(b"5\r\nhello\r\n0\r\n")),
    # --- trailers
    served("trailer", chunk(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"), b"hello"),
    served("trailer Host", chunk(b"0\r\nHost: evil\r\n\r\n"), b""),
    served("trailer Authorization", chunk(b"0\r\nAuthorization: Bearer x\r\n\r\n"), b""),
    served("trailer and the next request", chunk(b"0\r\nX: y\r\n\r\n") + NEXT, b"", b""),
    refused("trailer Content-Length", chunk(b"0\r\nContent-Length: 50\r\n\r\n") + NEXT, gone=1),
    refused("trailer Transfer-Encoding", chunk(b"0\r\nTransfer-Encoding: chunked\r\n\r\n") + NEXT, gone=1),
    refused("trailer without colon", chunk(b"0\r\nGET /x HTTP/1.1\r\n\r\n"), gone=1),
    refused("trailer folded", chunk(b"0\r\nX: a\r\n b\r\n\r\n"), gone=1),
    refused("trailer ends in LF", chunk(b"0\r\nX: y\n\r\n"), gone=1),
    refused("trailers without end", chunk(b"0\r\n" + b"X: yyyyyyyyyyyyyyyy\r\n" * 900), gone=1),
    # --- after a body
    served("body and the next request", length(b"5") + NEXT, b"hello", b""),
    served("chunks and the next request", chunk(HELLO) + NEXT, b"hello", b""),
    served("empty line between requests", length(b"5") + b"\r\n" + NEXT, b"hello", b""),
    last(
        "close, then a request", length(b"5").replace(b"Host", b"Connection: close\r\nHost") + NEXT, b"hello"
    ),
)
