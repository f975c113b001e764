"""The OpenAPI 3.1 document, made from the table of operations (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from gateway.domain.names import NAME
from gateway.errors import (
    BodyTooLarge,
    Forbidden,
    GatewayError,
    IdempotencyConflict,
    IdempotencyMismatch,
    InvalidJson,
    InvalidValue,
    MalformedRequest,
    MethodNotAllowed,
    StoreUnavailable,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from gateway.web.route import Route

TEMPLATE = "#/components/schemas/{name}"
NAMED = {"type": "string", "pattern": f"^{NAME.pattern.removesuffix(chr(92) + 'Z')}$"}
PATH: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{12}$"},
    "version": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "request": {"type": "string", "pattern": r"^pc1\.[A-Za-z0-9_-]{52}$"},
    "case": {"type": "string", "pattern": r"^[0-9a-f]{12}-[0-9a-f]{12}$"},
    "delivery": {"type": "string", "pattern": r"^\d{1,12}-[a-z0-9][a-z0-9._-]{0,63}$"},
}
REVISION = {"type": "string", "pattern": r'^(\*|"\d{1,18}")$'}
IF_MATCH = "the revision that was seen (an ETag), or *: 412 if the prompt was changed since"
PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457). `code` is stable; `param` names the field at fault.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "param": {"type": ["string", "null"]},
    },
    "required": ["type", "title", "status", "detail", "code", "param"],
}


def encoded(routes: Sequence[Route]) -> bytes:
    return msgspec.json.encode(document(routes))


def document(routes: Sequence[Route]) -> dict[str, Any]:
    kinds = [kind for route in routes for kind in (*route.answers.values(), route.body) if kind is not None]
    unique = list(dict.fromkeys(kinds))
    _, schemas = msgspec.json.schema_components(unique, ref_template=TEMPLATE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "prompt-canary-gateway admin API",
            "version": "1.0.0",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Prompts, versions and rollouts. While there is no token, on loopback only.",
        },
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def operation(route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.says,
        "parameters": list(_parameters(route)),
        "responses": {**_answers(route), **_errors(route)},
        "security": [] if route.role is None else [{"token": []}, {}],
    }
    if route.role is not None:
        described["description"] = f"Role: {route.role}."
        described["x-role"] = route.role
    if route.body is not None:
        described["requestBody"] = {"required": True, "content": _json(route.body)}
    return described


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in (part[1:-1] for part in route.path.split("/") if part.startswith("{")):
        yield {"name": name, "in": "path", "required": True, "schema": PATH.get(name, NAMED)}
    for name, schema, says in route.query:
        yield {"name": name, "in": "query", "description": says, "schema": schema}
    if route.changes:
        yield {"name": "if-match", "in": "header", "description": IF_MATCH, "schema": REVISION}
    if route.once:
        says = "a request sent again under the same key is answered as before"
        schema = {"type": "string", "minLength": 1, "maxLength": 255}
        yield {"name": "idempotency-key", "in": "header", "description": says, "schema": schema}


def _answers(route: Route) -> dict[str, Any]:
    return {str(status): _answer(route, status, kind) for status, kind in route.answers.items()}


def _answer(route: Route, status: int, kind: type | None) -> dict[str, Any]:
    found: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    untyped = {route.media: {"schema": {"type": "object"}}}
    found["content"] = untyped if kind is None else _json(kind)
    headers: dict[str, Any] = {}
    if route.etag:
        headers["etag"] = {"description": "the revision, for If-Match", "schema": {"type": "string"}}
    if route.once:
        headers["idempotency-replayed"] = {"schema": {"type": "string"}}
    return found | ({"headers": headers} if headers else {})


def errors_of(route: Route) -> dict[int, list[type[GatewayError]]]:
    """By status, everything that can go wrong."""
    kinds: list[type[GatewayError]] = [MalformedRequest, Forbidden, *route.errors]
    if route.role is not None:
        kinds += [Unauthorized, StoreUnavailable, Unavailable]
    if route.body is not None:
        kinds += [InvalidJson, InvalidValue, BodyTooLarge, UnsupportedMediaType]
    if route.once:
        kinds += [IdempotencyConflict, IdempotencyMismatch]
    found: dict[int, list[type[GatewayError]]] = {405: [MethodNotAllowed]}
    for kind in dict.fromkeys(kinds):
        found.setdefault(kind.status, []).append(kind)
    return dict(sorted(found.items()))


def _errors(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, kinds in errors_of(route).items():
        if status in route.answers:
            continue
        codes = [kind.code for kind in kinds]
        schema = {
            "allOf": [{"$ref": TEMPLATE.format(name="Problem")}, {"properties": {"code": {"enum": codes}}}]
        }
        described: dict[str, Any] = {
            "description": ", ".join(codes),
            "content": {"application/problem+json": {"schema": schema}},
        }
        if status == 401:
            described["headers"] = {"www-authenticate": {"schema": {"type": "string"}}}
        if status in (409, 503):
            described["headers"] = {"retry-after": {"schema": {"type": "string"}}}
        found[str(status)] = described
    return found


def _json(kind: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": TEMPLATE.format(name=kind.__name__)}}}
