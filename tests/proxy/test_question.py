"""A question is put into words when somebody wants them."""

from __future__ import annotations

import pytest

from gateway.proxy.question import LATER, Question
from gateway.wire.splice import split


@pytest.mark.parametrize("size", [10, 2 * LATER])
def test_a_body_is_let_go_once_its_words_are_there(size: int) -> None:
    text = "a" * size
    fields = split(b'{"messages":[{"role":"user","content":"%b"}]}' % text.encode())
    question = Question(fields, count=True)
    assert (question._fields is None) == (size > LATER)
    assert question.words() == question.words() == (f"user: {text}", 1)
    assert question._fields is None
