"""All sections and the whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from gateway.domain.policy import Policy, read_policies
from gateway.errors import InvalidValue
from gateway.settings.alerts import Alerts
from gateway.settings.base import KIB, MIB, Bytes, NamePattern, Port, Seconds, Section
from gateway.settings.judge import EvalSettings, JudgeSettings
from gateway.settings.providers import Breaker, Price, Upstream
from gateway.settings.safety import SafetySettings
from gateway.settings.shadow import ShadowSettings
from gateway.settings.telemetry import Logs, Metrics, Traces


class Listen(Section):
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of IPv4, :: for all."""
    port: Port = 8080
    """Port to listen on; 0 takes a free one."""


LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Admin(Section):
    host: str = "127.0.0.1"
    """Address of the admin API. Beyond loopback it starts only with a token: `bootstrap_token`, or one made
    by `prompt-canary token create`. It speaks HTTP: put TLS before it."""
    port: Port = 8081
    """Port of the admin API; 0 takes a free one."""
    bootstrap_token: Annotated[str, Field(min_length=32)] | None = None
    """An admin's token that is good while it stands here, such as `${env:PROMPT_CANARY_BOOTSTRAP}`."""
    refusals_per_minute: Annotated[int, Field(ge=0)] = 60
    """Audit entries a minute for refused requests of one caller; what is beyond is counted in the next one.
    All callers without a good token count as one."""
    refusals_per_day: Annotated[int, Field(ge=0)] = 1000
    """The same for a day."""
    event_streams: Annotated[int, Field(ge=0, le=10_000)] = 32
    """Open streams of `/v1/events`; one more is refused with 503."""

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK


class SqliteSettings(Section):
    kind: Literal["sqlite"] = "sqlite"
    """The embedded store."""
    directory: str = "data"
    """Where the database files live: one machine, any number of processes."""
    call_timeout: Annotated[float, Field(gt=0, le=60)] = 2.0
    """s until a call of the store counts as failed; look-ups of pins have their own limit."""


class RedisSettings(Section):
    kind: Literal["redis"]
    """The store of a fleet."""
    url: str
    """redis://, rediss:// or redis+sentinel://host:port,host:port/service/db."""
    prefix: NamePattern = "pc"
    """Common part of all keys; one prefix is one fleet."""
    accept_data_loss: bool = False
    """Start although the server does not keep what it acknowledges (appendonly, noeviction)."""
    call_timeout: Annotated[float, Field(gt=0, le=60)] = 2.0
    """s until a call of the store counts as failed; look-ups of pins have their own limit."""


class SimulatorSettings(Section):
    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    """Address of the simulated provider."""
    port: Port = 8089
    """Port of the simulated provider."""
    scenario: str | None = None
    """Scenario file: latency, errors, answer quality by prompt; default: the built-in quick one."""


class Seed(Section):
    directory: str
    """Folder of .prompty files that are pushed at every start (the same content is the same version)."""
    deploy: bool = False
    """Make version 1 of a prompt live if the prompt has no live version yet."""


class Bindings(Section):
    default: NamePattern | None = None
    """Prompt of managed requests that name none; without it they pass unchanged."""
    aliases: dict[str, NamePattern] = {}
    """Model name in the request → prompt."""
    explicit_versions: bool = False
    """Serve `x-prompt: name/version` to anyone; such requests are no evidence."""
    list_models: bool = False
    """Name the aliases in /v1/models, before the provider's own models; else that route passes unchanged."""


SessionSource = Literal[
    "header",
    "conversation",
    "previous_response_id",
    "metadata.session_id",
    "safety_identifier",
    "user",
    "fingerprint",
    "prompt_cache_key",
]


class Sessions(Section):
    sources: tuple[SessionSource, ...] = (
        "header",
        "conversation",
        "previous_response_id",
        "metadata.session_id",
        "safety_identifier",
        "user",
        "fingerprint",
    )
    """Where a session's key is looked for, first that is there."""
    headers: tuple[str, ...] = ("x-session-id", "x-conversation-id", "x-litellm-session-id", "session-id")
    """Request headers that carry a session key, first that is there."""
    pin_ttl: Seconds = 3600.0
    """A pin lives this long after its last use, s."""
    pin_max_age: Seconds = 86_400.0
    """A pin lives at most this long, s."""
    protect_running: bool = True
    """A conversation that began before the rollout stays on stable. Switch off if clients put few-shot turns
    of their own into every request."""
    lookup_timeout: Annotated[float, Field(gt=0, le=5)] = 0.05
    """Limit of one pin look-up, s; beyond it the session is served by its hash and is no evidence."""
    hot_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    """A key that carries more than this share of the last minute's requests is not a session …"""
    hot_count: Annotated[int, Field(ge=1)] = 50
    """… if these are also more than this many."""
    cache: Annotated[int, Field(ge=16)] = 100_000
    """Pins kept in each worker's memory."""


class Limits(Section):
    backlog: Annotated[int, Field(ge=1)] = 2048
    """Connections that wait until a worker accepts them; the system's own limit (somaxconn) holds too."""
    head_bytes: Bytes = 64 * KIB
    """Request line and headers, together; more is 431."""
    target_bytes: Bytes = 8 * KIB
    """Request target; more is 414."""
    headers: Annotated[int, Field(ge=8)] = 128
    """Header lines of a request; more is 431."""
    body_bytes: Bytes = 64 * MIB
    """Body of a managed request, also after decompression; more is 413."""
    body_budget_bytes: Bytes = 256 * MIB
    """Managed bodies held by one worker; beyond it reading pauses, then 503 with retry-after."""
    stream_buffer_bytes: Bytes = 256 * KIB
    """Held in each direction of a streamed exchange before reading pauses."""
    pipelined_bytes: Bytes = 64 * KIB
    """Unparsed bytes of pipelined requests kept while one is served; beyond it reading pauses."""
    connections: Annotated[int, Field(ge=1)] = 10_000
    """Client connections of one worker; more are answered 503 and closed."""
    requests_per_connection: Annotated[int, Field(ge=1)] = 1000
    """After about this many requests a keep-alive connection is closed, so that load evens out."""
    connection_age: Seconds = 300.0
    """After about this long a keep-alive connection is closed, s."""
    upstream_connections: Annotated[int, Field(ge=1)] = 10_000
    """Connections of one worker to one upstream; further requests wait for `queue` s."""
    upstream_idle: Annotated[int, Field(ge=0)] = 256
    """Idle connections kept for one upstream by one worker."""
    prompt_cache: Annotated[int, Field(ge=2)] = 512
    """Compiled prompt versions kept in one worker."""
    counted_models: Annotated[int, Field(ge=1)] = 16
    """Providers and models that times and tokens of one version are counted apart for; others as `_other`."""
    counted_versions: Annotated[int, Field(ge=1)] = 512
    """Versions that /metrics counts apart; those used least lately are added up as `_other`."""


class Timeouts(Section):
    """All in seconds. There is no limit on the total: reasoning may take long."""

    head: Seconds = 30.0
    """From a request's first byte to its head's end."""
    body_idle: Seconds = 60.0
    """Between two reads of a request's body."""
    keep_alive: Seconds = 75.0
    """Idle client connection."""
    write_stalled: Seconds = 120.0
    """Client that does not read its answer."""
    connect: Seconds = 5.0
    """TCP and TLS to the upstream."""
    queue: Seconds = 10.0
    """Waiting for a free upstream connection; then 503 with retry-after."""
    first_byte: Seconds = 600.0
    """From the request being sent to the response's first byte."""
    idle: Seconds = 300.0
    """Between two reads of a response."""
    upstream_keep_alive: Seconds = 55.0
    """Idle upstream connection."""
    upstream_age: Seconds = 300.0
    """An upstream connection is not used for new requests beyond this age."""
    drain: Seconds = 300.0
    """After SIGTERM, streams in flight may finish for this long."""


Flag = Literal["filtered", "refusal", "personal", "secret", "leak", "profanity", "loop", "schema"]


class EvidenceSettings(Section):
    """Limits of evidence and decisions; a rollout keeps those that it was started with. Times in seconds."""

    flags: tuple[Flag, ...] = get_args(Flag)
    """Safety flags that count (docs/safety.md); what is left out is not looked for."""
    measured_per_second: Annotated[float, Field(gt=0)] = 500.0
    """Sessions of a prompt that are measured per second; above it a share of them is."""
    keep_seconds: Annotated[float, Field(ge=0)] = 604_800.0
    """Evidence and decisions of a rollout are kept so long after its end …"""
    keep_bytes: Bytes = 2048 * MIB
    """… or until the evidence of all rollouts is larger than this; then the oldest goes first."""
    watermark: Seconds = 60.0
    """A session is folded this long after its pin, in order of pin."""
    early_events: Annotated[int, Field(ge=0)] = 20
    """Sessions per second whose errors and flags are folded then; those of more wait until they are final."""
    judge_limit: Seconds = 300.0
    """The same for scores; later ones are lost."""
    event_window: Seconds = 600.0
    """Errors and flags count in a session's requests that start so long after its pin …"""
    event_requests: Annotated[int, Field(ge=1)] = 5
    """… and in at most so many of them."""
    upstream_limit: Seconds = 120.0
    """How long such a request may take; a session without an event is final after both."""
    latency_warmup: Annotated[float, Field(ge=0)] = 300.0
    """No latency is compared so soon after a start or a step: provider caches are cold for a new prompt."""
    freeze_after: Annotated[int, Field(ge=1)] = 500
    """Stable sessions that thresholds are taken from."""
    thresholds_age: Annotated[float, Field(ge=0, le=2_592_000)] = 86_400.0
    """They may be of the prompt's last rollout, if that ended no longer ago; 0: always of the same one."""
    max_open: Annotated[int, Field(ge=1)] = 400_000
    """Sessions of one rollout held at once by the controller."""
    hard_stop: Annotated[int, Field(ge=1)] = 20
    """Roll back when so many first requests of the canary failed, all of them, and stable's did not."""
    severe_hold: Annotated[int, Field(ge=1)] = 1
    """Canary sessions with a confirmed severe flag that hold a rollout (docs/safety.md) …"""
    severe_rollback: Annotated[int, Field(ge=1)] = 3
    """… and that roll it back while no stable session has one."""
    incident_window: Seconds = 60.0
    """Seconds of stable's provider errors that an incident is seen in …"""
    incident_requests: Annotated[int, Field(ge=1)] = 20
    """… extended back until it holds so many requests …"""
    incident_longest: Seconds = 600.0
    """… but not further than this."""
    incident_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of errors that is an incident …"""
    incident_times: Annotated[float, Field(ge=1)] = 5.0
    """… if it is also so many times the usual share."""
    completeness: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Least share of judged sessions with a score, in each arm."""
    completeness_alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """A hold because scores are missing says so in at most this share of rollouts where they are not."""
    score_age: Seconds = 900.0
    """The newest scored session may be so much older than the newest that should have a score."""
    raise_after: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the maximum bake after which a weight is raised for want of evidence."""
    max_raises: Annotated[int, Field(ge=0)] = 3
    """How often."""
    extension: Annotated[float, Field(ge=0)] = 0.5
    """Share of the maximum bake that is added before a rollout without evidence holds."""

    def changes(self) -> dict[str, float]:
        """The limits of the analysis that differ from their defaults."""
        others = {"flags", "measured_per_second", "keep_seconds", "keep_bytes"}
        return self.model_dump(exclude_defaults=True, exclude=others)


class FeedbackSettings(Section):
    max_age: Annotated[float, Field(gt=0, le=90 * 86_400)] = 7 * 86_400.0
    """Feedback is taken for so long after an answer, s."""


class Settings(Section):
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    """Data plane processes; one for each core."""
    listen: Listen = Listen()
    admin: Admin = Admin()
    store: Annotated[SqliteSettings | RedisSettings, Field(discriminator="kind")] = SqliteSettings()
    upstream: Upstream | None = None
    upstreams: tuple[Upstream, ...] = ()
    """Several providers, instead of `upstream`: a list of sections with the same fields."""
    clients: Literal["passthrough", "keys"] = "passthrough"
    """Whose keys clients send: the provider's, which pass through, or the gateway's own, made by
    `prompt-canary keys create`, which stay here."""
    breaker: Breaker = Breaker()
    prices: dict[str, Price] = {}
    """Prices by model name, before those of the price list that comes with the gateway (genai-prices)."""
    simulator: SimulatorSettings | None = None
    seed: Seed | None = None
    bindings: Bindings = Bindings()
    sessions: Sessions = Sessions()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    evidence: EvidenceSettings = EvidenceSettings()
    alerts: Alerts = Alerts()
    feedback: FeedbackSettings = FeedbackSettings()
    judge: JudgeSettings | None = None
    evals: EvalSettings | None = None
    shadow: ShadowSettings = ShadowSettings()
    safety: SafetySettings = SafetySettings()
    metrics: Metrics = Metrics()
    traces: Traces = Traces()
    logs: Logs = Logs()
    policies: dict[NamePattern, dict[str, Any]] = {}
    """Policies of your own by name: the fields that differ from the one that `extends` names (careful,
    standard, fast, or one above it)."""
    data_directory: str = "data"
    """Local files: the signing key, the last snapshot, overrides."""
    signing_keys: tuple[Annotated[str, Field(min_length=32)], ...] = Field(
        default=(), max_length=2, repr=False
    )
    """The fleet's secret, 32 characters or more; the first signs, two may be valid. Empty: one is made in
    the data directory at first start (one machine only)."""

    @property
    def providers(self) -> tuple[Upstream, ...]:
        """The upstreams, however they are written."""
        return self.upstreams if self.upstream is None else (self.upstream,)

    @model_validator(mode="after")
    def _has_upstreams(self) -> Settings:
        if (self.upstream is None) == (not self.upstreams):
            raise ValueError(
                "name one provider as `upstream: {base_url: …}` or several as "
                "`upstreams: [{name: …, base_url: …}, …]`, not both"
            )
        names = [upstream.name for upstream in self.upstreams]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"upstreams: the name {twice[0]!r} is there twice; give each its own")
        return self

    @field_validator("policies")
    @classmethod
    def _policies_hold(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        try:
            read_policies(value)
        except InvalidValue as error:
            raise ValueError(error.message) from error
        return value

    @model_validator(mode="after")
    def _shadow_has_a_judge(self) -> Settings:
        for name, policy in policies_of(self).items():
            if policy.shadow is not None and self.judge is None:
                raise ValueError(
                    f"policies.{name}: a shadow stage compares answers by their scores: add the section judge"
                )
        return self

    @model_validator(mode="after")
    def _fleet_has_a_key(self) -> Settings:
        if isinstance(self.store, RedisSettings) and not self.signing_keys:
            raise ValueError("signing_keys is needed with a Redis store: all machines must share it")
        return self


def policies_of(settings: Settings) -> dict[str, Policy]:
    """The built-in policies and the configuration's own, by name."""
    return read_policies(settings.policies)
