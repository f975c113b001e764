"""What a prompt can cause is the prompt's; everything else is not."""

from __future__ import annotations

import doctest

import pytest

from gateway.domain import outcome
from gateway.domain.outcome import outcome_of
from gateway.errors import (
    GatewayError,
    InvalidVariables,
    Overloaded,
    TemplateError,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)


def test_the_examples_print_what_they_say() -> None:
    assert doctest.testmod(outcome).failed == 0


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, "ok") for status in (200, 201, 204)),
        *((status, "prompt") for status in (400, 403, 404, 413, 422)),
        *((status, "provider") for status in (401, 408, 409, 429, 500, 502, 503, 504, 529)),
    ],
)
def test_whole_answers_by_status(status: int, expected: str) -> None:
    assert outcome_of(status) == expected


@pytest.mark.parametrize("error", [UpstreamUnreachable("x"), UpstreamTimeout("x"), Overloaded("x")])
def test_no_answer_is_the_providers(error: GatewayError) -> None:
    assert outcome_of(None, error=error) == "provider"


@pytest.mark.parametrize("error", [TemplateError("x"), InvalidVariables("x")])
def test_a_version_that_cannot_be_rendered_is_the_prompts(error: GatewayError) -> None:
    assert outcome_of(None, error=error) == "prompt"


def test_an_answer_that_breaks_is_the_prompts_and_one_that_the_client_left_is_nobodys() -> None:
    assert outcome_of(200, error=UpstreamBroken("x")) == "prompt"
    assert outcome_of(200, in_band=True) == "prompt"
    assert outcome_of(200, left=True) == "client"
