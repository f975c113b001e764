"""A value that fits a JSON schema: the part of JSON Schema that structured outputs allow.

Types, properties, items, enum, const, anyOf, $ref to local $defs, bounds, minItems, minLength, maxLength,
common formats. `pattern` is not understood.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import InvalidValue

MAX_DEPTH = 32
FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
Known = Mapping[str, Callable[[Mapping[str, Any]], Any]]


def fitting(schema: Any, text: str, known: Known | None = None) -> Any:
    """Return a value that fits `schema`; free strings hold `text`, `known` top-level properties theirs.

    Raises `InvalidValue` for a schema without end or with a reference to nowhere.
    """
    root = schema if isinstance(schema, dict) else {}
    if known and isinstance(root.get("properties"), dict):
        value = _fit(root, root, text, 0)
        for name, make in known.items():
            if name in value:
                value[name] = make(_resolved(root["properties"][name], root))
        return value
    return _fit(root, root, text, 0)


def _resolved(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict):
            return {}
        if "$ref" in schema:
            schema = _referred(schema["$ref"], root)
        elif schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            schema = _shortest(schema.get("anyOf") or schema.get("oneOf") or schema["allOf"])
        else:
            return schema
    raise InvalidValue("the JSON schema refers to itself without end", param="response_format")


def _shortest(choices: Any) -> Any:
    """Prefer an alternative without a reference, so that recursive types come to an end."""
    if not isinstance(choices, list):
        return {}
    return next((c for c in choices if isinstance(c, dict) and "$ref" not in c), choices[0])


def _referred(reference: Any, root: dict[str, Any]) -> Any:
    place: Any = root
    for part in str(reference).removeprefix("#").split("/")[1:]:
        place = place.get(part) if isinstance(place, dict) else None
    if not isinstance(place, dict) or not str(reference).startswith("#"):
        raise InvalidValue(f"$ref {reference!r} leads nowhere in the JSON schema", param="response_format")
    return place


def _fit(schema: Any, root: dict[str, Any], text: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidValue(f"the JSON schema is deeper than {MAX_DEPTH} levels", param="response_format")
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    match _kind(schema):
        case "object":
            properties = schema.get("properties") or {}
            return {name: _fit(inner, root, text, depth + 1) for name, inner in properties.items()}
        case "array":
            least = schema.get("minItems", 0 if depth > 4 else 1)
            return [_fit(schema.get("items"), root, text, depth + 1) for _ in range(min(least, 1000))]
        case "integer" | "number" as kind:
            return number_within(schema, 0.5, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, text)


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    return str(kind or ("object" if "properties" in schema else "string"))


def _string(schema: Mapping[str, Any], text: str) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(text) + 10_000)
    return text.ljust(min(least, 100_000), ".")[: max(most, 0)]


def number_within(schema: Mapping[str, Any], share: float, *, whole: bool) -> int | float:
    """Return the number at `share` (0 to 1) of a schema's bounds; without bounds they are 0 and 1."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", max(low + 1, 1)))
    value = low + (high - low) * share
    step = schema.get("multipleOf") or (1 if whole else None)
    if not step:
        inside = 1e-9 * max(high - low, 1)
        low += inside if "exclusiveMinimum" in schema else 0
        high -= inside if "exclusiveMaximum" in schema else 0
        return round(float(min(max(value, low), high)), 12)
    least = math.floor(low / step) + 1 if "exclusiveMinimum" in schema else math.ceil(low / step)
    most = math.ceil(high / step) - 1 if "exclusiveMaximum" in schema else math.floor(high / step)
    steps = min(max(round(value / step), least), most)
    return int(steps * step) if whole else steps * step
