"""One table of how requests end: what a prompt can cause, and what it cannot."""

import doctest

import pytest

from gateway import errors
from gateway.domain import outcome as module
from gateway.domain.outcome import Ending, ending_of, outcome


def test_the_examples() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_answers_to_the_request_itself_can_be_the_prompts_doing(status: int) -> None:
    assert outcome("answered", status, "whatever") == "prompt"


@pytest.mark.parametrize("status", [301, 401, 402, 403, 408, 429, 500, 502, 503, 529])
def test_what_fails_before_the_model_saw_the_prompt_is_the_providers(status: int) -> None:
    assert outcome("answered", status) == "provider"


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_refused_content_is_the_prompts_whatever_its_status(status: int) -> None:
    assert outcome("answered", status, "content_filter") == "prompt"


@pytest.mark.parametrize(
    ("ending", "expected"),
    [("left", "client"), ("unsent", "provider"), ("closed", "provider"), ("silent", "prompt")],
)
def test_without_an_answer(ending: Ending, expected: str) -> None:
    assert outcome(ending) == expected


def test_errors_inside_of_an_answer() -> None:
    assert outcome("answered", 200, "server_error") == "prompt"
    assert outcome("answered", 200, 429) == "provider"
    assert outcome("answered", 200, 429, begun=True) == "prompt"
    assert outcome("cut", 200) == "prompt"
    assert outcome("cut") == "provider"  # its head could not be understood
    assert outcome("cut", 503) == "provider"
    assert outcome("left", 200) == "client"


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (errors.UpstreamUnreachable("x"), "unsent"),
        (errors.UpstreamConnectTimeout("x"), "unsent"),
        (errors.Overloaded("x"), "unsent"),
        (errors.Unavailable("x"), "unsent"),
        (errors.UpstreamClosed("x"), "closed"),
        (errors.UpstreamTimeout("x"), "silent"),
        (errors.UpstreamBroken("x"), "cut"),
    ],
)
def test_the_upstream_s_failures(error: errors.GatewayError, ending: str) -> None:
    assert ending_of(error, responded=False) == ending
    assert ending_of(error, responded=True) == "cut"
