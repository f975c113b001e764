"""docs/configuration.md, written from the settings themselves: what is not declared there does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.settings import Settings, Upstream

ONCE = (Upstream,)  # described where there is one

INTRODUCTION = """\
# Configuration

Written by `prompt-canary config reference`. One YAML file; unknown fields are refused.
`${env:NAME}` in a string takes a value from the environment. Lengths are bytes, times are seconds.
Check a file with `prompt-canary config check FILE`.
"""


def reference() -> str:
    """The whole page, Markdown."""
    return "\n".join([INTRODUCTION, *_section("", Settings)]) + "\n"


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    plain = {name: field for name, field in model.model_fields.items() if not _models(field.annotation)}
    if plain:
        yield f"## {_title(path, model)}\n"
        yield "| field | default | allowed | meaning |"
        yield "|---|---|---|---|"
        for name, field in plain.items():
            yield _row(path + name, field)
        yield ""
    for name, field in model.model_fields.items():
        for many, inner in _models(field.annotation):
            if many:
                yield f"## {path}{name}\n\n{' '.join((field.description or '').split())}\n"
            if inner not in ONCE or not many:
                yield from _section(f"{path}{name}.{many}", inner)


def _title(path: str, model: type[BaseModel]) -> str:
    kind = model.model_fields.get("kind")
    return (path.rstrip(".") or "Top level") + (f" (kind: {_type(kind.annotation)})" if kind else "")


def _models(annotation: Any) -> list[tuple[str, type[BaseModel]]]:
    """The settings sections that a field can hold, each with what stands for one of many in its path."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [("", annotation)]
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType, Annotated):
        return [found for part in parts for found in _models(part)]
    if origin in (tuple, dict):
        return [("N." if origin is tuple else "NAME.", model) for part in parts for _, model in _models(part)]
    return []


def _row(name: str, field: FieldInfo) -> str:
    default = "required" if field.default is PydanticUndefined else f"`{field.default!r}`"
    return f"| `{name}` | {default} | {_allowed(field)} | {' '.join((field.description or '').split())} |"


def _allowed(field: FieldInfo) -> str:
    limits = [_limit(rule) for rule in field.metadata]
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [f"{words[name]} {value}" for rule in limits for name, value in rule if name in words]
    return ", ".join([_type(field.annotation), *bounds]).replace("|", "\\|")


def _limit(rule: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(rule, name)) for name in ("gt", "ge", "lt", "le") if hasattr(rule, name)]


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " | ".join(str(value) for value in inner)
    if origin in (Union, UnionType):
        return " | ".join(_type(part) for part in inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"{_type(inner[0])} → {_type(inner[1])}"
    return "nothing" if annotation is type(None) else str(annotation.__name__)
