"""Variables are what the version declares, or the request is told which one is not."""

# ruff: noqa: E501 (tables: one case a line)

import math
from typing import Any

import pytest

from gateway.domain.prompt import MAX_SAFE_INTEGER, Input, InputKind
from gateway.errors import InvalidVariables
from gateway.promptfiles.inputs import MAX_TEXT, check_variables

VALUES: dict[InputKind, list[Any]] = {
    "string": ["", "a", "é", "😀"],
    "integer": [0, -1, MAX_SAFE_INTEGER],
    "number": [0.5, -1e308],
    "boolean": [True, False],
    "array": [[], [1, ["a"]]],
    "object": [{}, {"a": {"b": None}}],
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("given_kind", VALUES)
def test_kinds_are_strict(kind: InputKind, given_kind: InputKind) -> None:
    inputs = (Input("v", kind),)
    fits = kind == given_kind or (kind == "number" and given_kind == "integer")
    for value in VALUES[given_kind]:
        if fits:
            assert check_variables(inputs, {"v": value}) == {"v": value}
            continue
        with pytest.raises(
            InvalidVariables, match=f"prompt.variables.v: must be an? {kind}, not "
        ) as refused:
            check_variables(inputs, {"v": value})
        assert refused.value.param == "prompt.variables.v"
        assert refused.value.status == 400


def test_required_defaults_and_absent() -> None:
    inputs = (Input("a", "string", required=True), Input("b", "integer", default=3), Input("c", "string"))
    assert check_variables(inputs, {"a": "x"}) == {"a": "x", "b": 3}
    assert check_variables(inputs, {"a": "x", "b": 4, "c": ""}) == {"a": "x", "b": 4, "c": ""}
    with pytest.raises(InvalidVariables, match=r"prompt\.variables\.a: this input is required: a string"):
        check_variables(inputs, {"b": 4})


INPUTS = (
    Input("tier", "string", enum=("standard", "gold")),
    Input("n", "integer"),
    Input("f", "number"),
    Input("s", "string"),
    Input("many", "array"),
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": 1}, "prompt.variables.x: there is no such input; the prompt has f, many, n, s, tier"),
        ({"tier": "free"}, 'prompt.variables.tier: must be one of "standard", "gold", not "free"'),
        ({"tier": None}, "prompt.variables.tier: must be a string, not null"),
        ({"n": True}, "prompt.variables.n: must be an integer, not true"),
        ({"n": 1.0}, "prompt.variables.n: must be an integer, not 1.0"),
        ({"n": 2**53}, "prompt.variables.n: holds an integer beyond ±(2^53 - 1)"),
        ({"f": 10**5000}, "prompt.variables.f: holds an integer beyond ±(2^53 - 1)"),
        ({"s": 10**5000}, "prompt.variables.s: must be a string, not a huge integer"),
        ({"f": math.nan}, "prompt.variables.f: holds a number that is not finite"),
        ({"f": -math.inf}, "prompt.variables.f: holds a number that is not finite"),
        ({"many": [[math.inf]]}, "prompt.variables.many: holds a number that is not finite"),
        ({"s": "\ud800"}, "prompt.variables.s: holds a lone surrogate, which is no character"),
        ({"many": [{"\udfff": 1}]}, "prompt.variables.many: holds a lone surrogate, which is no character"),
        ({"many": [b"x"]}, "prompt.variables.many: holds a bytes, which is not JSON"),
        ({"many": "abc"}, 'prompt.variables.many: must be an array, not "abc"'),
        ({"s": ["abc"]}, "prompt.variables.s: must be a string, not an array of 1"),
        ({"many": nested(40)}, "prompt.variables.many: is nested more than 32 levels deep"),
        ({"many": nested(100_000)}, "prompt.variables.many: is nested more than 32 levels deep"),
        ({"many": [0] * 30_000}, "prompt.variables.many: holds too much: all variables together have at most 20000 values"),
        ({"s": "x" * (MAX_TEXT + 1)}, "prompt.variables.s: is too long: all variables together have at most 1048576 characters"),
        ({"tier": "gold", "s": "x" * MAX_TEXT}, "prompt.variables.s: is too long: all variables together have at most 1048576 characters"),
    ],

)  # fmt: skip
def test_it_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidVariables) as refused:
        check_variables(INPUTS, given)
    assert refused.value.message == message
    assert refused.value.param == message.partition(":")[0]


def test_what_is_shown_of_a_value_or_name_is_short() -> None:
    with pytest.raises(InvalidVariables) as refused:
        check_variables(INPUTS, {"tier": "x" * 1_000_000})
    assert len(refused.value.message) < 200
    with pytest.raises(InvalidVariables) as refused:
        check_variables(INPUTS, {"y" * 1_000_000: 1})
    assert len(refused.value.message) < 200


def test_a_prompt_without_inputs_takes_no_variables() -> None:
    assert check_variables((), {}) == {}
    with pytest.raises(InvalidVariables, match="the prompt has no inputs"):
        check_variables((), {"x": 1})
