"""What was received and how it ended. Requests to /__sim are neither recorded nor counted.

requests = open + completed + reset + cancelled. A request is open from its last byte to its reply's last;
cancelled are those whose client left in between, truncated uploads never became requests.
"""

import base64
from collections import Counter, deque
from typing import Any

from gateway.simulator.reply import Request

MOST_BYTES = 256 * 1024 * 1024


class Journal:
    """Counters, and the newest `keep` requests (0: none are kept) with at most `MOST_BYTES` of bodies."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.connections_accepted = 0
        self.connections_open = 0
        self.open = 0
        self._numbers = 0
        self.reset()

    def reset(self) -> None:
        """Forget requests and counts; open requests and connections stay counted."""
        self.requests = self.open
        self.completed = self.was_reset = self.cancelled = self.truncated = 0
        self.connections_accepted = self.connections_open
        self.rules: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._ring: deque[Request] = deque()
        self._held = 0

    def number(self) -> int:
        """Return the next request's number."""
        self._numbers += 1
        return self._numbers

    def received(self, request: Request) -> None:
        """Count a complete request and keep it."""
        self.requests += 1
        self.open += 1
        if not self.keep:
            return
        self._ring.append(request)
        self._held += len(request.body)
        while len(self._ring) > self.keep or self._held > MOST_BYTES:
            self._held -= len(self._ring.popleft().body)

    def ended(self, request: Request, outcome: str) -> None:
        """Count how a request ended: completed, reset or cancelled."""
        self.open -= 1
        request.outcome = outcome
        if outcome == "completed":
            self.completed += 1
        elif outcome == "reset":
            self.was_reset += 1
        else:
            self.cancelled += 1

    def last(self, count: int) -> list[dict[str, Any]]:
        """Show the newest `count` requests, oldest first."""
        return [shown(request) for request in list(self._ring)[-count:]] if count > 0 else []

    def find(self, number: int) -> dict[str, Any] | None:
        """Show one request, None where it is not kept (any more)."""
        return next((shown(request) for request in self._ring if request.number == number), None)

    def stats(self) -> dict[str, Any]:
        """Return all counts."""
        return {
            "requests": self.requests,
            "open": self.open,
            "completed": self.completed,
            "reset": self.was_reset,
            "cancelled": self.cancelled,
            "truncated": self.truncated,
            "connections_accepted": self.connections_accepted,
            "connections_open": self.connections_open,
            "rules": dict(self.rules),
            "faults": dict(self.faults),
            "statuses": {str(status): count for status, count in self.statuses.items()},
        }


def shown(request: Request) -> dict[str, Any]:
    """Show a request as JSON can hold it: the body in base64, headers in latin-1 as HTTP has them."""
    return {
        "id": f"sim-{request.number}",
        "at": request.at,
        "outcome": request.outcome,
        "method": request.method.decode("latin-1"),
        "target": request.target.decode("latin-1"),
        "http_version": request.version.decode(),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers],
        "nth_on_connection": request.nth,
        "body_size": request.size,
        "body": base64.b64encode(request.body).decode(),
    }
