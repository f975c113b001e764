"""How a managed request ended, as evidence: what a prompt can cause is kept apart from what it cannot.

A provider's refusal of the request (400, 403, 404, 413, 422) can come from the version's text, model or
options, and so can an answer that breaks after its head. No connection, 401, 408, 409, 425, 429 and 5xx came
before the model saw the prompt. Our own refusals under a version (a variable that its template needs) are the
prompt's.
"""

from __future__ import annotations

from gateway.domain.observation import Outcome
from gateway.errors import ClientError, GatewayError, PromptError

BEFORE_THE_PROMPT = frozenset({401, 407, 408, 409, 425, 429})


def outcome_of(
    status: int | None, *, error: GatewayError | None = None, in_band: bool = False, left: bool = False
) -> Outcome:
    """`status`: of the provider's answer, None if there was none. `error`: what ended the exchange instead of
    a whole answer. `in_band`: the answer itself said that it failed. `left`: the client did, before its end.

    >>> outcome_of(200), outcome_of(429), outcome_of(422), outcome_of(200, in_band=True)
    ('ok', 'provider', 'prompt', 'prompt')
    """
    if left:
        return "client"
    if status is None:
        return "prompt" if isinstance(error, ClientError | PromptError) else "provider"
    if status >= 500 or status in BEFORE_THE_PROMPT:
        return "provider"
    if status >= 400 or error is not None or in_band:
        return "prompt"
    return "ok"
