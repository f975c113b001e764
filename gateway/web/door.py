"""The door: every operation is asked for by somebody, whose role and prompts are looked at before it runs.

While there has never been a token, whoever reaches the port on loopback may do everything. From the first
token on, or with one in the configuration, every operation but health and documentation needs one. Who is
refused is in the audit log, as many a minute as the settings say, so that nobody fills the store.
"""

from __future__ import annotations

import logging
import time

from aiohttp import web

from gateway.control.access import Access
from gateway.control.plan import By
from gateway.domain.access import Caller
from gateway.domain.names import NAME
from gateway.errors import ClientError, Forbidden, GatewayError, Unauthorized
from gateway.web.route import Route

logger = logging.getLogger(__name__)

NOBODY = "anonymous"
MINUTE = 60.0  # s


class Door:
    """`refusals`: audit entries a minute."""

    def __init__(self, access: Access, *, refusals: int) -> None:
        self.access = access
        self._refusals = refusals
        self._minute = 0.0
        self._written = 0
        self._left_out = 0

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

    async def refuse(self, request: web.Request, route: Route, who: str, error: ClientError) -> None:
        """Write it down; the answer does not depend on whether that is possible."""
        prompt = request.match_info.get("prompt", "")
        logger.warning("%s was refused %s %s: %s", who, request.method, request.path, error.message)
        now = time.monotonic()
        if now >= self._minute + MINUTE:
            self._minute, self._written = now, 0
        if self._written >= self._refusals:
            self._left_out += 1
            return
        self._written += 1
        what: dict[str, object] = {"operation": route.name, "needs": route.role, "code": error.code}
        if self._left_out:
            what["left_out"] = self._left_out  # refusals before this one that are not written down
        subject = prompt if NAME.match(prompt) else ""
        try:
            await self.access.refused(By(who, error.message), subject, what)
            self._left_out = 0
        except GatewayError as problem:
            logger.error("a refusal is not in the audit log: %s", problem.message)


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
