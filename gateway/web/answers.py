"""Answers of the admin API: JSON with the revision as ETag; errors as problem details (RFC 9457)."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from gateway.errors import BodyTooLarge, GatewayError, MalformedRequest, MethodNotAllowed, NotFound

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ENCODER = msgspec.json.Encoder()

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def answer(value: Any, *, status: int = 200, revision: int | None = None) -> web.Response:
    """`revision` is what a later If-Match compares."""
    headers = dict(HEADERS)
    if revision is not None:
        headers["etag"] = f'"{revision}"'
    body = _ENCODER.encode(value)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def problem(error: GatewayError) -> web.Response:
    """`code` is stable and names the error; `param` names the field at fault, if one is."""
    details = {
        "type": "about:blank",  # the title is then the status's own phrase (RFC 9457, 4.2.1)
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "param": error.param,
    }
    headers = dict(HEADERS)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
    body = _ENCODER.encode(details)
    return web.Response(
        body=body, status=error.status, headers=headers, content_type="application/problem+json"
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The one place where an exception becomes an answer."""
    try:
        return await handler(request)
    except GatewayError as error:
        if error.status >= 500:
            logger.warning("%s %s: %s", request.method, request.path, error.message)
        return problem(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = problem(_as_error(error, request))
        if "Allow" in error.headers:
            response.headers["allow"] = error.headers["Allow"]
        return response
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return problem(GatewayError("the admin API failed; see its log"))


def _as_error(error: web.HTTPException, request: web.Request) -> GatewayError:
    """aiohttp's own refusals in our words."""
    match error.status:
        case 404:
            return NotFound(f"there is nothing at {request.path}; see docs/admin-api.md")
        case 405:
            return MethodNotAllowed(f"{request.path} does not take {request.method}")
        case 413:
            return BodyTooLarge(f"a body has at most {request.client_max_size} bytes here")
        case _:
            return MalformedRequest(error.reason or "the request cannot be understood")
