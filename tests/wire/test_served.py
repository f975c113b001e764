"""Which answer it was, of which model: whole answers, beginnings of streams, and what is neither."""

import pytest

from gateway.wire.served import LONGEST, Served, served

NOBODY = Served()
CHUNK = b'data: {"id":"c1","object":"chat.completion.chunk","model":"m","choices":[]}\n\n'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"id":"c1","model":"m","choices":[]}', Served("c1", "m")),
        (b' \n{"model":"m"}', Served(None, "m")),
        (CHUNK, Served("c1", "m")),
        (CHUNK + CHUNK.replace(b"c1", b"c2"), Served("c1", "m")),
        (b": a comment\r\n\r\n" + CHUNK, Served("c1", "m")),
        (b'data: {"choices":[]}\n\n' + CHUNK, Served("c1", "m")),  # as some providers begin
        (b'event: x\ndata: {"type":"x","response":{"id":"r","model":"m"}}\n\n', Served("r", "m")),
        (b'event: x\ndata: {"type":"x","message":{"id":"a","model":"m"}}\n\n', Served("a", "m")),
        (b'data: {"id":"","model":"","prompt_filter_results":[]}\n\n' + CHUNK, Served("c1", "m")),  # Azure
        (b"", NOBODY),
        (b"data: [DONE]\n\n", NOBODY),
        (CHUNK[:40], NOBODY),
        (b'{"error":{"message":"m"}}', NOBODY),
        (b'{"message":"no","model":"m"}', NOBODY),
        (b'{"id":1,"model":["m"]}', NOBODY),
        (b'{"id":"","model":"%b"}' % (b"m" * (LONGEST + 1)), NOBODY),
        (b"\xff{", NOBODY),
        (b"{" + b'"a":[' * 5000, NOBODY),
    ],
)
def test_what_an_answer_says_of_itself(answer: bytes, said: Served) -> None:
    assert served(answer) == said
