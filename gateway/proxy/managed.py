"""One managed request: a prompt version put in front of the client's messages, in the shape of its API.

    body complete → which prompt → which session → which version (may look up a pin)
                  → version loaded (may read the store) → injected → upstream → answer

Each step decides at once or is called back; nothing goes upstream before the body is complete and valid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.errors import (
    BodyTooLarge,
    GatewayError,
    Overloaded,
    UpstreamBroken,
    VersionNotFound,
)
from gateway.proxy.aliases import Aliasing
from gateway.proxy.answered import Notes, record
from gateway.proxy.base import Head, Headers, Link, ResponseHead
from gateway.proxy.choice import Choice, choose
from gateway.proxy.clients import check_passing
from gateway.proxy.exchange import Exchange, inflating
from gateway.proxy.gathering import Gathered, size_of, soon
from gateway.proxy.question import Question
from gateway.proxy.shadowing import Copied, copy_of
from gateway.proxy.snapshots import Prepared
from gateway.wire.api import Request
from gateway.wire.decoding import Inflater, decode_body
from gateway.wire.forwarding import model_of
from gateway.wire.headers import prompt_headers, single
from gateway.wire.routes import api_of
from gateway.wire.selection import Selection, select
from gateway.wire.splice import Fields, split
from gateway.wire.sse import EventScanner

if TYPE_CHECKING:
    from gateway.proxy.tracing import Trace
    from gateway.proxy.worker import Worker

T = TypeVar("T")

REFUSAL_BYTES: Final = 64 * 1024  # of an error that is read before it is relayed


class Managed(Exchange):
    __slots__ = (
        "aliasing",
        "answered_at",
        "api",
        "asked_usage",
        "budgeted",
        "choice",
        "complete_at",
        "copied",
        "ended",
        "fields",
        "gathered",
        "headers",
        "held",
        "inflater",
        "left",
        "model",
        "notes",
        "own",
        "path",
        "path_prompt",
        "prepared",
        "question",
        "recorded",
        "refusal",
        "request",
        "request_id",
        "scanner",
        "selection",
        "sent_at",
        "sent_bytes",
        "trace",
        "waiting",
    )

    def __init__(self, worker: Worker, head: Head, link: Link, path: bytes, path_prompt: str | None) -> None:
        super().__init__(worker, head, link)
        self.managed = True
        self.api = api_of(path)
        self.path = path
        self.path_prompt = path_prompt
        self.headers = single(head.headers, head.known)
        self.gathered = Gathered()
        self.budgeted = 0  # bytes taken from the worker's budget
        self.waiting = False  # for the budget
        self.ended = False  # the answer is complete but for what is held
        self.held: list[bytes] = []
        self.left: int | None = None  # bytes of the answer still to come, where it said how many
        self.scanner: EventScanner | None = None
        self.aliasing: Aliasing | None = None  # while the answer's id is to be remembered
        self.inflater: Inflater | None = None
        self.asked_usage = False
        self.refusal: tuple[ResponseHead, list[bytes]] | None = None  # perhaps of what we asked for
        self.model = ""  # that the provider is asked for
        self.own: Any = None  # the version's messages, in the API's form
        self.choice: Choice | None = None
        self.prepared: Prepared | None = None
        self.fields: Fields | None = None
        self.request: Request | None = None
        self.selection: Selection | None = None
        self.notes: Notes | None = None
        self.copied: Copied | None = None  # for a shadow stage
        self.question: Question | None = None  # where the answer may become evidence
        self.recorded = False
        self.complete_at = self.sent_at = self.answered_at = 0.0  # by the fine clock
        self.sent_bytes = 0
        self.request_id = b""
        self.trace: Trace | None = None  # where it is sampled
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
        gathered = self.gathered
        gathered.add(chunk)
        if gathered.size <= self.budgeted:
            return
        limit = self.worker.settings.limits.body_bytes  # chunked: the length was not known at the head
        if gathered.size > limit:
            self.fail(BodyTooLarge(f"the body has more than {limit} bytes, which is the limit"))
            return
        try:
            self._hold(gathered.size)
        except Overloaded as error:
            self.fail(error)

    def _hold(self, size: int) -> None:
        """Be accountable for `size` bytes in all. Raises `Overloaded`."""
        over = size - self.budgeted
        if over <= 0:
            return
        if not self.worker.budget.grow(over):
            raise Overloaded("request bodies fill this worker's memory; try again", retry_after=1.0)
        self.budgeted += over

    def body_end(self) -> None:
        if self.waiting:
            self.ended = True
            return
        self.complete_at = self.worker.fine_clock()
        soon(self._step, self._select, self.gathered.take(), self.gathered.size)

    def _step(self, work: Callable[[T], None], what: T) -> None:
        """One step on the way to the provider; what it raises is the answer."""
        if self.finished:
            return
        try:
            work(what)
        except GatewayError as error:
            self.fail(error)
        except Exception:  # noqa: BLE001  (logged; the client gets an answer)
            self.crash()

    # --- which prompt, which version

    def _select(self, body: bytes) -> None:
        worker = self.worker
        encoding = self.headers.get(b"content-encoding")
        text = body
        if encoding is not None:
            text = decode_body(body, encoding, worker.settings.limits.body_bytes)
            self._hold(len(text))
        fields = self.fields = split(text)
        bindings = worker.settings.bindings
        selection = select(self.path_prompt, self.headers, fields, bindings.aliases, bindings.default)
        if selection is None:
            check_passing(self.client)
            self._pass_unchanged(body, model_of(fields))
            return
        self.selection = selection
        soon(self._step, self._choose, fields, len(text))

    def _choose(self, fields: Fields) -> None:
        assert self.selection is not None
        self.request = self.api.inspect(fields)
        choose(self.worker, self, self.selection, self.request, fields)

    def _pass_unchanged(self, body: bytes, model: str | None) -> None:
        """No prompt applies: from here on an exchange like any other."""
        self.managed = False
        self.worker.counts.unmanaged += 1
        self.fields = None
        self.forward(self.path, [body], len(body), model)

    def chosen(self, choice: Choice) -> None:
        """The version is known; the worker may have to read it first."""
        self._step(self._load, choice)

    def _load(self, choice: Choice) -> None:
        self.choice = choice
        assert self.selection is not None
        prepared = self.worker.versions.get(self.selection.prompt, choice.version)
        if prepared is not None:
            self.loaded(prepared)
        else:
            self.worker.versions.load(self.selection.prompt, choice.version, self.loaded)

    def loaded(self, result: Prepared | GatewayError | None) -> None:
        self._step(self._inject, result)

    def _inject(self, prepared: Prepared | GatewayError | None) -> None:
        selection, choice, request = self.selection, self.choice, self.request
        assert selection is not None and choice is not None and request is not None
        if prepared is None:
            raise VersionNotFound(f"{selection.prompt} has no version {choice.version}", param="prompt")
        if isinstance(prepared, GatewayError):
            raise prepared
        if choice.pinning is not None:
            choice.pinning.start(self._settle)
        self.prepared = prepared
        self.model = prepared.version.content.model.id or request.model or ""
        self.own = prepared.form(self.api).own
        if self.own is None or selection.variables:
            messages = prepared.compiled.render(selection.variables, self.worker.clock)
            self.own = self.api.encode_messages(messages)
        fields = self.fields
        if self.worker.tracing is not None:
            self.worker.tracing.begin(self)
        self._send(ask_usage=self.model not in self.worker.no_usage)
        if fields is not None and self.worker.recorder.measures(choice):
            soon(self._step, self._note_question, fields, len(fields.body))
        if choice.alias is not None and choice.rollout and choice.session is not None:
            self.aliasing = Aliasing(self.worker.aliases, choice.session, choice.alias, self._settle)

    def _note_question(self, fields: Fields) -> None:
        self.question = Question(fields, count=self.worker.recorder.counts_turns(self.choice))
        self.copied = copy_of(self, fields)

    def _send(self, *, ask_usage: bool) -> None:
        fields, request, prepared, own = self.fields, self.request, self.prepared, self.own
        assert fields is not None and request is not None and prepared is not None
        recipe = prepared.form(self.api).recipe
        injected = self.api.inject(fields, request, recipe, own, ask_usage=ask_usage)
        self.asked_usage = injected.asked_usage
        if not injected.asked_usage:
            self.fields = None  # it will not be sent again without our wish
        self.sent_bytes = size_of(injected.pieces)
        self.forward(self.path, injected.pieces, self.sent_bytes, self.model)
        self.sent_at = self.sent_at or self.worker.fine_clock()

    # --- the answer

    def added_headers(self) -> Headers:
        choice, prepared = self.choice, self.prepared
        if choice is None or prepared is None:
            return []
        id = self.request_id = self.worker.request_id(choice)
        return prompt_headers(
            prepared.version.prompt, choice.version, choice.arm, choice.rollout, choice.reason, id
        )

    def response_head(self, head: ResponseHead) -> None:
        if self.asked_usage and head.status in (400, 422):
            self.refusal = head, []
            return
        self.fields = None
        self._release()
        if self.managed:
            self.inflater, head = inflating(head)
        super().response_head(head)
        self.left = None if self.event_stream else head.length
        if self.aliasing is not None and head.status >= 400:
            self.aliasing.give_up()
        if self.choice is not None:
            self.notes = Notes(head.status, body=not self.event_stream)
        if self.event_stream and self.managed:
            self.scanner = self.api.scanner(strip_usage=self.asked_usage)
            told = self.trace is not None and self.trace.wants_text
            self.scanner.text = [] if told or self.question is not None else None

    def response_data(self, data: bytes) -> None:
        if self.refusal is not None:
            self._hear_refusal(data)
            return
        if self.inflater is not None:
            data = self.inflater.feed(data)
            if not data:
                return
        scanner = self.scanner
        if scanner is not None:
            if self.trace is not None:
                self.trace.hear(data)
            data = scanner.feed(data)
            if self.notes is not None:
                self.notes.events(self.worker.clock(), scanner)
            if not data:
                return
        elif self.notes is not None:
            self.notes.data(data)
        self.tail = data
        if self.aliasing is not None and self.aliasing.wanted:
            self.aliasing.hear(data, self.scanner)
        if self._settled():
            self.link.send(data)
            return
        if self.left is not None:
            self.left -= len(data)
        # The next turn may follow the last byte at once, so that byte waits for the pin.
        if scanner is None and self.left is None:
            self._send_held()  # only the newest piece may be the last
            self.held.append(data)
        elif self.left == 0 or (scanner is not None and (scanner.finish_reason is not None or scanner.done)):
            self.held.append(data)
        else:
            self.link.send(data)

    def response_flush(self) -> None:
        """The head of an answer whose body is held waits with it for the pin: one write instead of two."""
        if not (self.held and self.left == 0):
            self.link.flush()

    # --- a provider that does not know stream_options says so with 400, and is asked without

    def _hear_refusal(self, data: bytes) -> None:
        assert self.refusal is not None
        self.refusal[1].append(data)
        if size_of(self.refusal[1]) > REFUSAL_BYTES:
            self._relay_refusal()

    def _relay_refusal(self) -> None:
        assert self.refusal is not None
        (head, said), self.refusal = self.refusal, None
        self.asked_usage = False
        self.response_head(head)
        for data in said:
            self.response_data(data)

    def response_end(self) -> None:
        if self.refusal is not None:
            said = b"".join(self.refusal[1])
            if b"stream_options" in said or b"include_usage" in said:
                self.refusal = None
                self.worker.remember_no_usage(self.model)
                self._send(ask_usage=False)
                return
            self._relay_refusal()
        if self.inflater is not None and not self.inflater.complete:
            self.response_failed(UpstreamBroken("the provider's compressed answer is cut short"))
            return
        if self.scanner is not None:
            rest = self.scanner.finish()
            if rest:
                self.held.append(rest)
        if self.aliasing is not None and self.aliasing.wanted:
            self.aliasing.end(self.scanner, self.api.read_answer)
        self.ended = True
        self.answered_at = self.worker.fine_clock()
        if self._settled():
            self._complete()

    def _settled(self) -> bool:
        choice, aliasing = self.choice, self.aliasing
        pinning = None if choice is None else choice.pinning
        return (pinning is None or pinning.settled) and (aliasing is None or aliasing.settled)

    def _settle(self) -> None:
        """A pin or an alias is settled."""
        if self.finished or not self._settled():
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
        record(self)

    def overhead(self) -> float:
        """The gateway's own part of the time, s."""
        return self.sent_at - self.complete_at + self.worker.fine_clock() - self.answered_at

    def error_event(self, error: GatewayError) -> bytes:
        return self.api.sse_error(error)

    def response_failed(self, error: GatewayError) -> None:
        if self.responded:
            self._send_held()
        super().response_failed(error)
        record(self, error)

    def fail(self, error: GatewayError) -> None:
        super().fail(error)
        record(self, error)

    def client_gone(self) -> None:
        if self.waiting:
            self.worker.budget.forget(self)
            self.waiting = False
            self.budgeted = 0
        super().client_gone()
        record(self, left=True)

    def finish(self) -> None:
        self._release()
        self.gathered.clear()
        self.fields = None
        super().finish()

    def _release(self) -> None:
        if self.budgeted > 0:
            self.worker.budget.release(self.budgeted)
        self.budgeted = 0
