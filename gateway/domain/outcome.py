"""How one request ended, as the statistics see it: one table from (ending, status, code) to an `Outcome`.

What is compared between the arms are failures that a prompt can cause. A failure before the model saw the
prompt cannot be one: no connection, no slot, a rate limit, a provider that is down. A silent model can: the
prompt may have sent it into endless reasoning. So can 404: a version names its model.
"""

from __future__ import annotations

from typing import Final, Literal

from gateway.domain.observation import Outcome
from gateway.errors import (
    GatewayError,
    Overloaded,
    UpstreamClosed,
    UpstreamConnectTimeout,
    UpstreamTimeout,
    UpstreamUnreachable,
)

Ending = Literal[
    "answered",  # to its last byte
    "left",  # the client went first
    "unsent",  # no connection, none free, or the gateway had no room
    "closed",  # the provider took the request and closed without a byte of an answer
    "silent",  # no first byte in time
    "cut",  # the answer began and broke off, or could not be understood
]

# 400, 413, 422 and their like are answers to the request itself; these are not.
PROVIDER_STATUSES: Final = frozenset({401, 402, 403, 407, 408, 409, 425, 429})

# Codes and types of errors that arrive under status 200 (first event of a stream, body of an aggregator) or
# say more than their status does: Anthropic, OpenAI, OpenRouter (whose codes are HTTP statuses), Azure.
PROVIDER_CODES: Final = frozenset(
    {
        "authentication_error",
        "billing_error",
        "insufficient_quota",
        "invalid_api_key",
        "overloaded_error",
        "permission_error",
        "rate_limit_error",
        "rate_limit_exceeded",
        "server_is_overloaded",
        "401",
        "402",
        "429",
        "502",
        "503",
        "529",
    }
)
PROMPT_CODES: Final = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "moderation_blocked",
        "responsible_ai_policy_violation",
        "ResponsibleAIPolicyViolation",
    }
)


def outcome(
    ending: Ending, status: int | None = None, code: str | int | None = None, *, begun: bool = False
) -> Outcome:
    """`status` of the answer's head, where there was one. `code` of an error in it: a body's `error.code`, or
    its `type` where that is null, also of an error event in a stream. `begun`: the model's first token came
    before the error, so it had seen the prompt.

    >>> outcome("answered", 200), outcome("answered", 400, "invalid_request_error"), outcome("answered", 503)
    ('ok', 'prompt', 'provider')
    >>> outcome("answered", 200, "overloaded_error"), outcome("answered", 200, "overloaded_error", begun=True)
    ('provider', 'prompt')
    """
    if ending == "left":
        return "client"
    if ending == "silent":
        return "prompt"
    if ending in ("unsent", "closed") or status is None:
        return "provider"
    if status < 400:
        if ending == "cut":
            return "prompt"
        if status >= 300:  # a redirect is no answer: the provider's address is wrong
            return "provider"
        if code is None or code == "":
            return "ok"
        return "provider" if not begun and str(code) in PROVIDER_CODES else "prompt"
    if str(code) in PROMPT_CODES:
        return "prompt"
    return "provider" if status >= 500 or status in PROVIDER_STATUSES else "prompt"


def ending_of(error: GatewayError, *, responded: bool) -> Ending:
    """Where the upstream's failure left the request; `responded`: the answer's head had come."""
    if responded:
        return "cut"
    if isinstance(error, UpstreamConnectTimeout | UpstreamUnreachable | Overloaded):
        return "unsent"
    if isinstance(error, UpstreamClosed):
        return "closed"
    if isinstance(error, UpstreamTimeout):
        return "silent"
    return "cut" if error.type == "upstream_error" else "unsent"


def code_of(error: object) -> str | int | None:
    """`code` of an error object, or its `type`; None where there is no error."""
    if error is None or error is False:
        return None
    if isinstance(error, dict):
        for name in ("code", "type"):
            if isinstance(error.get(name), str | int) and error[name]:
                return error[name]  # type: ignore[no-any-return]
    return "error"
