"""A span for each call of a model, below what it is done for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from gateway.telemetry.spans import CLIENT
from gateway.telemetry.tracer import current
from gateway.wire.usage import Usage


@contextlib.contextmanager
def called(model: str, asked: str = "") -> Iterator[Callable[[Usage | None, str], None]]:
    """What it yields is told the usage, and a cause where there is no answer. `asked`: the criterion."""
    with current().tracer.work(f"chat {model}", kind=CLIENT) as work:
        work.attributes |= {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
        if asked:
            work.attributes["gen_ai.evaluation.name"] = asked

        def done(usage: Usage | None, cause: str) -> None:
            if usage is not None:
                work.attributes["gen_ai.usage.input_tokens"] = usage.prompt
                work.attributes["gen_ai.usage.output_tokens"] = usage.completion
            if cause:
                work.failed(cause, f"no answer: {cause}")

        yield done
