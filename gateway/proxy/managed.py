"""One managed request: `/v1/chat/completions` with a prompt version put in front of the client's messages.

    body complete → which prompt → which session → which version (may look up a pin)
                  → version loaded (may read the store) → injected → upstream → answer

Each step decides at once or is called back; nothing goes upstream before the body is complete and valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import (
    BodyTooLarge,
    GatewayError,
    Overloaded,
    VersionNotFound,
)
from gateway.proxy.base import Head, Headers, Link, ResponseHead
from gateway.proxy.choice import Choice, choose
from gateway.proxy.exchange import Exchange
from gateway.proxy.snapshots import Prepared
from gateway.wire import Piece, chat
from gateway.wire.decoding import decode_body
from gateway.wire.headers import prompt_headers
from gateway.wire.selection import Selection, select
from gateway.wire.splice import Fields, split
from gateway.wire.sse import SseScanner

if TYPE_CHECKING:
    from gateway.proxy.worker import Worker


class Managed(Exchange):
    __slots__ = (
        "asked_usage",
        "budgeted",
        "choice",
        "chunks",
        "ended",
        "fields",
        "headers",
        "held",
        "left",
        "path",
        "path_prompt",
        "prepared",
        "request",
        "scanner",
        "selection",
        "size",
        "waiting",
    )

    def __init__(self, worker: Worker, head: Head, link: Link, path: bytes, path_prompt: str | None) -> None:
        super().__init__(worker, head, link)
        self.managed = True
        self.path = path
        self.path_prompt = path_prompt
        self.headers = dict(head.headers)
        self.chunks: list[bytes] = []
        self.size = 0
        self.budgeted = 0  # bytes taken from the worker's budget
        self.waiting = False  # for the budget
        self.ended = False  # the answer is complete but for what is held
        self.held: list[bytes] = []
        self.left: int | None = None  # bytes of the answer still to come, where it said how many
        self.scanner: SseScanner | None = None
        self.asked_usage = False
        self.choice: Choice | None = None
        self.prepared: Prepared | None = None
        self.fields: Fields | None = None
        self.request: chat.ChatRequest | None = None
        self.selection: Selection | None = None
        self._reserve(head.length or 0)

    # --- the body, within the worker's budget

    def _reserve(self, length: int) -> None:
        limit = self.worker.settings.limits.body_bytes
        if length > limit:
            raise BodyTooLarge(f"the body has {length} bytes; the limit is {limit}")
        if self.worker.budget.take(length, self, self.head.received):
            self.budgeted = length
        else:
            self.waiting = True
            self.budgeted = -length
            self.link.pause_body()

    def budget_granted(self) -> None:
        self.waiting = False
        self.budgeted = -self.budgeted
        self.link.resume_body()
        if self.ended:
            self.ended = False
            self.body_end()

    def budget_refused(self, error: Overloaded) -> None:
        self.waiting = False
        self.budgeted = 0
        self.fail(error)

    def body(self, chunk: bytes) -> None:
        if self.finished:
            return
        self.size += len(chunk)
        self.chunks.append(chunk)
        over = self.size - abs(self.budgeted)
        if over > 0:  # chunked: the length was not known at the head
            limit = self.worker.settings.limits.body_bytes
            if self.size > limit:
                self.fail(BodyTooLarge(f"the body has more than {limit} bytes, which is the limit"))
            elif self.worker.budget.grow(over):
                self.budgeted += over
            else:
                self.fail(Overloaded("request bodies fill this worker's memory; try again", retry_after=1.0))

    def body_end(self) -> None:
        if self.finished:
            return
        if self.waiting:
            self.ended = True
            return
        body = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        try:
            self._select(body)
        except GatewayError as error:
            self.fail(error)

    # --- which prompt, which version

    def _select(self, body: bytes) -> None:
        worker = self.worker
        encoding = self.headers.get(b"content-encoding")
        fields = self.fields = split(
            body if encoding is None else decode_body(body, encoding, worker.settings.limits.body_bytes)
        )
        bindings = worker.settings.bindings
        selection = select(self.path_prompt, self.headers, fields, bindings.aliases, bindings.default)
        if selection is None:
            self._pass_unchanged(body)
            return
        self.selection = selection
        self.request = chat.inspect(fields)
        choose(worker, self, selection, self.request, fields)

    def _pass_unchanged(self, body: bytes) -> None:
        """No prompt applies: from here on an exchange like any other."""
        self.managed = False
        self.fields = None
        self.forward(self.worker.target(self.path, self.head.query), [body], len(body))

    def chosen(self, choice: Choice) -> None:
        """The version is known; the worker may have to read it first."""
        if self.finished:
            return
        self.choice = choice
        assert self.selection is not None
        prepared = self.worker.versions.get(self.selection.prompt, choice.version)
        if prepared is not None:
            self.loaded(prepared)
        else:
            self.worker.versions.load(self.selection.prompt, choice.version, self.loaded)

    def loaded(self, result: Prepared | GatewayError | None) -> None:
        if self.finished:
            return
        try:
            if result is None:
                assert self.selection is not None and self.choice is not None
                raise VersionNotFound(f"{self.selection.prompt} has no version {self.choice.version}")
            if isinstance(result, GatewayError):
                raise result
            self._inject(result)
        except GatewayError as error:
            self.fail(error)

    def _inject(self, prepared: Prepared) -> None:
        selection, fields, request = self.selection, self.fields, self.request
        assert selection is not None and fields is not None and request is not None
        self.prepared = prepared
        own = prepared.own
        if own is None or selection.variables:
            own = chat.encode_messages(prepared.compiled.render(selection.variables, self.worker.clock))
        injected = chat.inject(fields, request, prepared.recipe, own, ask_usage=self.worker.asks_usage)
        self.asked_usage = injected.asked_usage
        self.fields = None
        self.forward(self.worker.target(self.path, self.head.query), injected.pieces, length(injected.pieces))
        if self.choice is not None and self.choice.pinning is not None:
            self.choice.pinning.start(self._pin_settled)

    # --- the answer

    def added_headers(self) -> Headers:
        choice, prepared = self.choice, self.prepared
        if choice is None or prepared is None:
            return []
        request_id = self.worker.request_id(choice)
        return prompt_headers(
            prepared.version.prompt, choice.version, choice.arm, choice.rollout, choice.reason, request_id
        )

    def response_head(self, head: ResponseHead) -> None:
        self._release()
        super().response_head(head)
        self.left = head.length
        if self.event_stream and self.managed:
            self.scanner = SseScanner(strip_usage=self.asked_usage)

    def response_data(self, data: bytes) -> None:
        scanner = self.scanner
        if scanner is not None:
            data = scanner.feed(data)
            if not data:
                return
        if self._settled():
            self.link.send(data)
            return
        if self.left is not None:
            self.left -= len(data)
        # The next turn may follow the last byte at once, so that byte waits for the pin.
        last = self.left == 0 if scanner is None else scanner.finish_reason is not None or scanner.done
        if self.held or last or (scanner is None and self.left is None):
            self.held.append(data)
        else:
            self.link.send(data)

    def response_end(self) -> None:
        if self.scanner is not None:
            rest = self.scanner.finish()
            if rest:
                self.held.append(rest)
        self.ended = True
        if self._settled():
            self._complete()

    def _settled(self) -> bool:
        return self.choice is None or self.choice.pinning is None or self.choice.pinning.settled

    def _pin_settled(self) -> None:
        if self.finished:
            return
        if self.ended:
            self._complete()
        elif self.held:
            self._send_held()
            self.link.flush()

    def _send_held(self) -> None:
        for data in self.held:
            self.link.send(data)
        self.held.clear()

    def _complete(self) -> None:
        self._send_held()
        super().response_end()

    def response_failed(self, error: GatewayError) -> None:
        self._send_held()
        super().response_failed(error)

    def client_gone(self) -> None:
        if self.waiting:
            self.worker.budget.forget(self)
            self.waiting = False
            self.budgeted = 0
        super().client_gone()

    def finish(self) -> None:
        self._release()
        self.chunks.clear()
        self.fields = None
        super().finish()

    def _release(self) -> None:
        if self.budgeted > 0:
            self.worker.budget.release(self.budgeted)
        self.budgeted = 0


def length(pieces: list[Piece]) -> int:
    return sum(map(len, pieces))
