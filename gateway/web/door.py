"""The door: every operation is asked for by somebody, whose role and prompts are looked at before it runs.

While there has never been a token, whoever reaches the port on loopback may do everything. From the first
token on, or with one in the configuration, every operation but health and documentation needs one. Who is
refused is in the audit log (`refusals`): at the door, or by a rule that it ran into.
"""

from __future__ import annotations

from aiohttp import web

from gateway.control.access import Access
from gateway.control.changes import MAX_REASON, check_by
from gateway.control.plan import By
from gateway.domain.access import Caller
from gateway.domain.names import NAME
from gateway.errors import Forbidden, GateNotPassed, GatewayError, TransitionRefused, Unauthorized
from gateway.web import requests
from gateway.web.once import once
from gateway.web.refusals import Refusals
from gateway.web.route import CALLER, Route

NOBODY = "anonymous"
RULES = (Forbidden, GateNotPassed, TransitionRefused)


class Door:
    def __init__(self, access: Access, refusals: Refusals) -> None:
        self.access = access
        self._refusals = refusals

    async def admit(self, request: web.Request, route: Route) -> Caller:
        """Who asks. Raises `Unauthorized` or `Forbidden`."""
        try:
            caller = await self.access.caller(bearer(request))
        except Unauthorized as error:
            await self.refuse(request, route, NOBODY, error)
            raise
        refusal = why_not(caller, route, request.match_info.get("prompt"))
        if refusal is not None:
            await self.refuse(request, route, caller.name, refusal)
            raise refusal
        return caller

    async def serve(self, request: web.Request, route: Route) -> web.StreamResponse:
        """The operation, once the caller is known. What its rules refuse is written down as well."""
        try:
            return await (once(request, route) if route.once else route.handler(request))
        except RULES as error:
            if route.method != "GET" or isinstance(error, Forbidden):
                await self.refuse(request, route, request[CALLER].name, error)
            raise

    async def refuse(self, request: web.Request, route: Route, who: str, error: GatewayError) -> None:
        prompt = request.match_info.get("prompt", "")
        what: dict[str, object] = {"operation": route.name, "needs": route.role, "code": error.code}
        subject = prompt if NAME.match(prompt) else ""
        await self._refusals.write(
            who, By(self._actor(request, who), error.message[:MAX_REASON]), subject, what
        )

    def _actor(self, request: web.Request, who: str) -> str:
        """With what an admitted caller says of itself, if an audit entry can hold it."""
        if CALLER not in request:
            return who
        by = requests.by(request, "")
        try:
            check_by(by)
        except GatewayError:
            return who
        return by.actor


def why_not(caller: Caller, route: Route, prompt: str | None) -> Forbidden | None:
    """What keeps `caller` from an operation, on `prompt` if it is of one."""
    if route.role is not None and not caller.has_role(route.role):
        return Forbidden(f"{route.name} needs the role {route.role}; token {caller.name} is {caller.role}")
    if prompt is not None and not caller.may_see(prompt):
        return out_of_reach(caller, prompt)
    if route.fleet and caller.prompts:
        return Forbidden(f"{route.name} is about all prompts; token {caller.name} is limited to some")
    return None


def out_of_reach(caller: Caller, prompt: str) -> Forbidden:
    reach = ", ".join(caller.prompts)
    return Forbidden(
        f"token {caller.name} is limited to {reach}, which {prompt!r:.100} is not", param="prompt"
    )


def bearer(request: web.Request) -> str | None:
    """The token of the request (RFC 6750, 2.1); None without any credential. Raises `Unauthorized`."""
    values = request.headers.getall("authorization", [])
    if not values:
        return None
    scheme, _, text = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not text.strip():
        raise Unauthorized("credentials are one header, authorization: Bearer pct_…", param="authorization")
    return text.strip()
