"""Routes of the simulated provider: a request in, the steps of its reply out."""

import re
from collections.abc import Callable

from gateway.errors import ConfigError
from gateway.simulator.chat import complete
from gateway.simulator.endpoints import echo, embeddings, model, models, moderations
from gateway.simulator.faults import EARLY, FAULTS
from gateway.simulator.inspection import Journal
from gateway.simulator.messages import converse, count_tokens
from gateway.simulator.reply import Reply, Request, Steps, error_reply, json_reply, normal
from gateway.simulator.responses import respond
from gateway.simulator.scenario import Cast, Scenario, load_scenario

Endpoint = Callable[[Cast, Request], Reply]

ENDPOINTS: dict[bytes, tuple[bytes, Endpoint]] = {
    b"/v1/chat/completions": (b"POST", complete),
    b"/v1/responses": (b"POST", respond),
    b"/v1/messages": (b"POST", converse),
    b"/v1/messages/count_tokens": (b"POST", count_tokens),
    b"/v1/embeddings": (b"POST", embeddings),
    b"/v1/moderations": (b"POST", moderations),
    b"/v1/models": (b"GET", models),
}
INSPECTION = b"/__sim/"
EARLY_REPLY = error_reply(500, "Simulated: this comes before the request's body was read.")
_SECONDS = re.compile(rb"(?:^|&)seconds=(\d{1,5})(?:&|$)")
_LAST = re.compile(rb"(?:^|&)last=(\d{1,9})(?:&|$)")


def _credential(request: Request) -> str:
    """A bearer token, or what Anthropic's clients send."""
    bearer = request.header(b"authorization") or b""
    key = bearer.removeprefix(b"Bearer ") if bearer.startswith(b"Bearer ") else request.header(b"x-api-key")
    return (key or b"").decode("latin-1")


def _no_outage(seconds: float) -> None:
    """Nobody listens for this provider."""


class Provider:
    """A scenario that can be exchanged, and the journal of what was asked."""

    def __init__(self, scenario: Scenario, keep: int) -> None:
        self.cast = Cast(scenario)
        self.journal = Journal(keep)
        self.on_outage: Callable[[float], None] = _no_outage  # s that connections are refused

    def play(self, request: Request) -> Steps:
        """Return the reply to a complete request, as steps."""
        if request.target.startswith(INSPECTION):
            return normal(request, self._inspect(request))
        self.journal.received(request)
        wanted = request.sim.get(b"x-sim-fault", b"").decode("latin-1") if request.sim else ""
        reply = EARLY_REPLY if wanted in EARLY else self._reply(request)
        if wanted and wanted not in FAULTS:
            known = ", ".join(sorted(FAULTS))
            reply = error_reply(400, f"x-sim-fault {wanted!r} is not a fault; there are {known}")
            wanted = ""
        name = wanted or reply.fault
        self.journal.statuses[reply.status] += 1
        if reply.rule:
            self.journal.rules[reply.rule] += 1
        if not name:
            return normal(request, reply)
        self.journal.faults[name] += 1
        return FAULTS[name](request, reply)

    def _reply(self, request: Request) -> Reply:
        path = request.target.partition(b"?")[0]
        keys = self.cast.scenario.api_keys
        if keys and _credential(request) not in keys:
            return error_reply(401, "Incorrect API key provided.", code="invalid_api_key")
        method, endpoint = ENDPOINTS.get(path, (b"", None))
        if endpoint is not None and request.method == method:
            return endpoint(self.cast, request)
        if endpoint is not None and method == b"POST":
            return error_reply(405, f"{path.decode()} takes POST", code="method_not_allowed")
        if path.startswith(b"/v1/models/") and request.method == b"GET":
            return model(self.cast, path.removeprefix(b"/v1/models/").decode("latin-1"))
        if path.startswith(b"/v1/"):
            return echo(request)
        return error_reply(
            404, f"Unknown path {path.decode('latin-1')}; the simulator serves /v1/ and /__sim/"
        )

    def _inspect(self, request: Request) -> Reply:
        path, _, query = request.target.removeprefix(INSPECTION).partition(b"?")
        match request.method, path:
            case b"GET", b"stats":
                return json_reply(self.journal.stats())
            case b"GET", b"requests":
                last = _LAST.search(query)
                return json_reply({"requests": self.journal.last(int(last[1]) if last else 10)})
            case b"GET", b"scenario":
                return json_reply(self.cast.scenario.model_dump())
            case b"GET", b"faults":
                return json_reply({"faults": sorted(FAULTS)})
            case b"POST", b"scenario":
                return self._change_scenario(request.body)
            case b"POST", b"refuse":
                return self._refuse(query)
            case b"POST", b"reset":
                self.journal.reset()
                return json_reply(self.journal.stats())
            case b"GET", _ if path.startswith(b"requests/"):
                return self._find(path.removeprefix(b"requests/").removeprefix(b"sim-"))
            case _:
                return error_reply(
                    404, "There are /__sim/stats, requests, requests/ID, scenario, faults, refuse and reset"
                )

    def _refuse(self, query: bytes) -> Reply:
        """Be down for some seconds: no connection is kept, none is accepted."""
        found = _SECONDS.search(query)
        if found is None:
            return error_reply(400, "refuse?seconds=N takes a whole number of seconds", param="seconds")
        self.on_outage(float(found[1]))
        return json_reply({"refusing_for": int(found[1])})

    def _change_scenario(self, text: bytes) -> Reply:
        try:
            self.cast = Cast(load_scenario(text))
        except ConfigError as error:
            return error_reply(400, error.message, code=error.code)
        return json_reply(self.cast.scenario.model_dump())

    def _find(self, number: bytes) -> Reply:
        found = self.journal.find(int(number)) if number.isdigit() and len(number) < 19 else None
        if found is None:
            return error_reply(404, f"No request sim-{number.decode('latin-1')} is kept")
        return json_reply(found)
