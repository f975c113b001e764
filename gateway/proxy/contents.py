"""Messages on spans, where the configuration asks for them: as JSON, in the form of the GenAI conventions
(`gen_ai.system_instructions`, `gen_ai.input.messages`, `gen_ai.output.messages`), redacted and cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.errors import GatewayError
from gateway.evals.redaction import Redaction
from gateway.settings import Traces
from gateway.telemetry.spans import Attributes
from gateway.wire.splice import Fields
from gateway.wire.texts import conversation_of, first_bytes

if TYPE_CHECKING:
    from gateway.proxy.managed import Managed

Part = dict[str, str]


class Contents:
    """Of one worker."""

    def __init__(self, settings: Traces) -> None:
        self.wanted = settings.content
        self._most = settings.content_bytes
        self._redaction = Redaction(settings.redact, "traces.redact")

    def asked(self, exchange: Managed, fields: Fields) -> Attributes:
        """The version's messages, the client's, and the prompt's variables."""
        found: Attributes = {
            "gen_ai.input.messages": _json(
                [
                    {"role": role, "parts": [self._part(text)]}
                    for role, text in conversation_of(fields, self._most)
                ]
            )
        }
        selection, prepared = exchange.selection, exchange.prepared
        assert selection is not None and prepared is not None
        try:
            messages = prepared.compiled.render(selection.variables, exchange.worker.clock)
        except GatewayError:  # it took too long this time
            messages = ()
        if messages:
            found["gen_ai.system_instructions"] = _json([self._part(text) for _, text in messages])
        for name, value in selection.variables.items():
            text = value if isinstance(value, str) else _json(value)
            found[f"gen_ai.prompt.variable.{name}"] = self._part(text)["content"]
        return found

    def answered(self, text: str, finish_reason: str | None) -> Attributes:
        message = {"role": "assistant", "parts": [self._part(text)], "finish_reason": finish_reason or ""}
        return {"gen_ai.output.messages": _json([message])}

    def _part(self, text: str) -> Part:
        """Redacted before it is cut, so that no half of what is redacted is left at the end."""
        clean = text.encode("utf-8", "replace").decode()
        return {"type": "text", "content": first_bytes(self._redaction.of(clean), self._most)}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
