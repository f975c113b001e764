"""A client's request made fit for being asked again, of another version, with nobody noticing.

    taken out     stream, stream_options, store, n: one whole answer that the provider does not keep
    refused       what the provider itself would act on: tools that it runs (web search, code, MCP, files),
                  a conversation that it appends to, work in the background

Functions stay: an answer may call them, but a call is a text until somebody executes it, and nobody does.
What is not known to be harmless is refused: a new kind of tool is one that a provider may run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import GatewayError
from gateway.wire.splice import Fields, replace

RESPONSES = b"/v1/responses"
DROPPED: dict[str, bytes | None] = {"stream": None, "stream_options": None, "store": None, "n": None}
NOT_STORED = b"false"  # Responses keeps answers unless it is told not to
ACTED_ON = ("mcp_servers", "web_search_options", "container", "conversation", "context_management")
HARMLESS = (None, "function", "custom")  # tools that the client executes


def copied(path: bytes, fields: Fields, most: int) -> tuple[bytes, str]:
    """The body to be asked again, and why there is none: `large` (more than `most` bytes), `tools`,
    `stateful` or `unreadable`; "" if there is."""
    if len(fields.body) > most:
        return b"", "large"
    try:
        if cause := _acted_on(fields):
            return b"", cause
        edits = dict(DROPPED)
        if path == RESPONSES:
            edits["store"] = NOT_STORED
        return b"".join(replace(fields, edits)), ""
    except (GatewayError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b"", "unreadable"


def _acted_on(fields: Fields) -> str:
    for name in ACTED_ON:
        if not fields.is_null(name):
            return "stateful" if name == "conversation" else "tools"
    background = fields.get("background")
    if background is not None and bytes(background) not in (b"false", b"null"):
        return "stateful"
    tools = fields.get("tools")
    return "" if tools is None or all(map(_harmless, _listed(tools))) else "tools"


def _listed(raw: msgspec.Raw) -> list[Any]:
    tools = msgspec.json.decode(raw)
    return tools if isinstance(tools, list) else []


def _harmless(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") in HARMLESS
