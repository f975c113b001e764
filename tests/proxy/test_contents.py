"""Texts on spans are redacted before they are cut, and expressions are checked at the start."""

from __future__ import annotations

import json

import pytest

from gateway.errors import ConfigError
from gateway.evals.redaction import Redaction
from gateway.proxy.contents import Contents
from gateway.settings import Traces
from gateway.wire.splice import split
from gateway.wire.texts import conversation_of


def test_what_is_redacted_leaves_no_half_of_it() -> None:
    contents = Contents(Traces(content_bytes=20, redact=("[0-9-]{9}",)))
    found = contents.answered("my number is 4111-1111, said once", "stop")
    (message,) = json.loads(str(found["gen_ai.output.messages"]))
    assert message["parts"] == [{"type": "text", "content": "my number is [redact"}]


def test_a_lone_surrogate_is_replaced() -> None:
    found = Contents(Traces()).answered("a\ud800b", None)
    assert json.loads(str(found["gen_ai.output.messages"]))[0]["parts"][0]["content"] == "a?b"


def test_a_bad_expression_is_a_slip_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"traces\.redact: '\(' is no RE2 expression"):
        Redaction(("(",), "traces.redact")


def test_the_newest_turns_are_kept() -> None:
    turns = [{"role": "user", "content": f"turn {number} {'x' * 50}"} for number in range(9)]
    fields = split(json.dumps({"model": "m", "messages": turns}).encode())
    found = conversation_of(fields, 100)
    assert [role for role, _ in found] == ["user"] * 2
    assert found[-1] == ("user", f"turn 8 {'x' * 50}")
    assert len("".join(text for _, text in found)) == 100
