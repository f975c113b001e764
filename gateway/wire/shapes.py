"""What is decoded of a request: the few members that the gateway looks at, and nothing else of any schema.

These structs have a module of their own because the modules that use them are compiled, and msgspec needs the
annotations as the interpreter keeps them (docs/adr/0004-compiled-data-path.md).
"""

import msgspec


class Turn(msgspec.Struct, gc=False):
    """A message of a conversation."""

    role: str | None = None
    content: msgspec.Raw = msgspec.Raw()


class Function(msgspec.Struct):
    name: msgspec.Raw = msgspec.Raw()


class Tool(msgspec.Struct):
    """`function` in chat completions; elsewhere a tool has its name itself."""

    function: Function | None = None
    name: msgspec.Raw = msgspec.Raw()


class Identified(msgspec.Struct):
    id: str | None = None


class PromptReference(msgspec.Struct, forbid_unknown_fields=True):
    """OpenAI's `prompt` object."""

    id: str
    version: str | int | None = None
    variables: dict[str, object] | None = None
