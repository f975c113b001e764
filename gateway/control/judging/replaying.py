"""A client's request asked again, of the candidate: what it would have answered, told to the judge alone.

The body is made by the same functions as on the data path, from a copy that no provider acts on
(`wire.replay`), and a call of a tool in the answer stays a text.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
import msgspec

from gateway.domain.observation import Outcome
from gateway.domain.outcome import code_of, outcome
from gateway.domain.prompt import Version
from gateway.domain.shadowing import Copy
from gateway.errors import ClientError, GatewayError, PromptError
from gateway.evals.detect import Probes, probes_of
from gateway.evals.flags import Rule, flags_of
from gateway.prices import PriceList
from gateway.promptfiles.compiled import CompiledPrompt, compile_prompt
from gateway.settings import ShadowSettings, Upstream
from gateway.wire.api import Api, Recipe
from gateway.wire.forwarding import Forwarding, model_of
from gateway.wire.routes import api_of
from gateway.wire.splice import Fields, split
from gateway.wire.texts import answer_of, question_of, refused

PAUSE, PAUSE_MOST = 0.5, 5.0  # s between calls while the provider fails, doubling
MOST_TEXT = 64 * 1024  # of question and answer
MOST_ANSWER = 4 * 1024 * 1024  # bytes
KEPT = 64  # versions
JSON_TYPE = (b"content-type", b"application/json")
SSL = ssl.SSLContext | bool


class Replayed(NamedTuple):
    """`outcome` as on the data path; "provider": no answer, with its `cause`. `usd`: None without a price."""

    outcome: Outcome
    cause: str = ""
    text: str = ""
    flags: tuple[str, ...] = ()
    usd: float | None = None
    calls: int = 0


class Candidate(NamedTuple):
    """A version ready to be put before a client's messages."""

    version: Version
    compiled: CompiledPrompt
    probes: Probes

    @classmethod
    def of(cls, version: Version) -> Candidate:
        return cls(version, compile_prompt(version.content), probes_of(version.content))


class Question(NamedTuple):
    """What a provider is asked."""

    path: bytes
    model: str | None
    body: bytes
    words: str  # the conversation


class Replayer:
    """`upstreams` as in the configuration; `flags`: those that count, beside `rules`. `close` it."""

    def __init__(
        self,
        settings: ShadowSettings,
        upstreams: Sequence[Upstream],
        prices: PriceList,
        *,
        flags: Sequence[str],
        rules: Sequence[Rule] = (),
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._flags = frozenset(flags)
        self._rules = tuple(rules)
        self._targets = [_Target(upstream) for upstream in _places(settings, upstreams)]
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def ask(self, copy: Copy, candidate: Candidate) -> Replayed:
        """Never raises for what a provider does."""
        try:
            question = _question(copy, candidate)
            target = next(each for each in self._targets if each.serves(question))
            url, headers = target.put(question, copy.headers)
        except StopIteration:
            return Replayed("provider", "no_upstream")
        except (ClientError, PromptError) as error:
            return Replayed("prompt", error.code)  # as a client would be told
        except GatewayError as error:
            return Replayed("provider", error.code)
        found = Replayed("provider", "unreachable")
        pause = PAUSE
        for attempt in range(1, self._settings.attempts + 1):
            found = (await self._call(target, url, headers, question, candidate))._replace(calls=attempt)
            if found.outcome != "provider":
                break
            if attempt < self._settings.attempts:
                await asyncio.sleep(pause)
                pause = min(2.0 * pause, PAUSE_MOST)
        return found

    async def _call(
        self, target: _Target, url: str, headers: Mapping[str, str], question: Question, candidate: Candidate
    ) -> Replayed:
        if self._http is None:
            self._http = aiohttp.ClientSession(auto_decompress=True)
        limit = aiohttp.ClientTimeout(total=self._settings.timeout)
        try:
            async with self._http.post(
                url, data=question.body, headers=headers, timeout=limit, ssl=target.ssl, allow_redirects=False
            ) as response:
                body = await response.content.read(MOST_ANSWER + 1)
                while not response.content.at_eof() and len(body) <= MOST_ANSWER:
                    body += await response.content.read(MOST_ANSWER)
                status = response.status
        except TimeoutError:
            return Replayed("provider", "timeout")
        except (aiohttp.ClientError, OSError):
            return Replayed("provider", "unreachable")
        return self._read(target, status, body, question, candidate)

    def _read(
        self, target: _Target, status: int, body: bytes, question: Question, candidate: Candidate
    ) -> Replayed:
        if len(body) > MOST_ANSWER:
            return Replayed("provider", "too_long")
        answer = api_of(question.path).read_answer(body)
        code = code_of(None if answer is None else answer.error)
        how = outcome("answered", status, code)
        cost = None
        if answer is not None and answer.usage is not None:
            now = time.time()
            cost = self._prices.cost(question.model or "", answer.usage, now=now, base_url=target.base_url)
        usd = None if cost is None else cost.paid
        if how != "ok" or answer is None:
            return Replayed("provider" if how == "ok" else how, f"status_{status}", usd=usd)
        text = answer_of(body, MOST_TEXT)
        flags = self._flagged(text, body, question, candidate, answer.finish_reason)
        return Replayed("ok", "", text, flags, usd)

    def _flagged(
        self, text: str, body: bytes, question: Question, candidate: Candidate, finish_reason: str | None
    ) -> tuple[str, ...]:
        found = flags_of(
            text,
            question.words,
            probes=candidate.probes,
            finish_reason="refusal" if refused(body) else finish_reason,
            wants_json=candidate.version.content.outputs is not None,
            rules=self._rules,
        )
        return tuple(flag for flag in found if flag in self._flags or ":" in flag)


class _Target:
    """One provider."""

    def __init__(self, upstream: Upstream) -> None:
        self.base_url = upstream.base_url
        self._forwarding = Forwarding(upstream)
        scheme, _, rest = upstream.base_url.partition("://")
        self._origin = f"{scheme}://{rest.partition('/')[0]}"
        self.ssl: SSL = True
        if not upstream.verify_tls:
            self.ssl = False
        elif upstream.ca_file is not None:
            self.ssl = ssl.create_default_context(cafile=upstream.ca_file)

    def serves(self, question: Question) -> bool:
        return self._forwarding.serves(question.path, question.model)

    def put(self, question: Question, headers: Sequence[tuple[str, str]]) -> tuple[str, dict[str, str]]:
        """URL and headers. Raises `ClientError`."""
        sent = [JSON_TYPE, *((name.encode(), value.encode("latin-1")) for name, value in headers)]
        block = self._forwarding.block(sent, managed=True).decode("latin-1")
        target = self._forwarding.target(question.path, b"", question.model).decode("latin-1")
        lines = [line.partition(": ") for line in block.split("\r\n") if line]
        return f"{self._origin}{target}", {name: value for name, _, value in lines}


def _places(settings: ShadowSettings, upstreams: Sequence[Upstream]) -> list[Upstream]:
    """The upstreams by priority, or the one place of `shadow`, which speaks like the first of them."""
    ordered = sorted(upstreams, key=lambda upstream: upstream.priority)
    if settings.api_key is not None:
        ordered = [each.model_copy(update={"api_key": settings.api_key}) for each in ordered]
    if settings.base_url is None:
        return ordered
    first = ordered[0].model_copy(
        update={"base_url": settings.base_url.rstrip("/"), "models": (), "routes": ()}
    )
    return [first]


def _question(copy: Copy, candidate: Candidate) -> Question:
    """Raises `ClientError` or `PromptError`: the version cannot answer such a request."""
    path = copy.path.encode()
    api: Api[Any] = api_of(path)
    fields = split(copy.body)
    request = api.inspect(fields)
    content = candidate.version.content
    recipe: Recipe = api.recipe(content, candidate.version.prompt)
    messages = candidate.compiled.render(msgspec.json.decode(copy.variables), time.monotonic)
    injected = api.inject(fields, request, recipe, api.encode_messages(messages), ask_usage=False)
    model = content.model.id or model_of(fields)
    return Question(path, model, b"".join(injected.pieces), words_of(fields))


def words_of(fields: Fields) -> str:
    return question_of(fields, MOST_TEXT)
