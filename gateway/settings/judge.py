"""The judge: an OpenAI-compatible model that scores answers of judged sessions; and the offline gate."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from gateway.settings.base import KIB, Amount, NamePattern, Seconds, Section


class JudgeSettings(Section):
    """Without this section no answer is judged, and a policy whose gates include the judge holds."""

    base_url: str
    """Any OpenAI-compatible API; better another vendor's model than the one that is judged."""
    model: str
    """The judge's model, best a dated snapshot: a rollout keeps the one that it was begun with."""
    api_key: str = Field(default="", repr=False)
    """Its key; empty for a server that asks for none."""
    options: dict[str, Any] = {}
    """Fields of each request beside the messages, such as temperature or max_completion_tokens."""
    rubrics: str = "config/evals/rubrics"
    """Folder of rubrics (YAML, see docs/judge.md)."""
    rubric: NamePattern = "helpful"
    """The rubric of prompts that `by_prompt` does not name."""
    by_prompt: dict[NamePattern, NamePattern] = {}
    """Prompt → rubric."""
    logprobs: bool = True
    """Ask for the probabilities of tokens and take a score's expectation, where the API offers them."""
    timeout: Seconds = 20.0
    """Limit of one call, s."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Calls for one question whose answers are late or cannot be read."""
    patience: Seconds = 60.0
    """Limit of one judgment with all its questions and attempts, s; an outage is waited out as long."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Judgments under way at once in one process."""
    claims: Annotated[int, Field(ge=1, le=20)] = 3
    """How often an answer is taken up whose judge process died over it."""
    usd_per_day: Amount = 20.0
    """Spent on judging in a day (UTC) at most; 0: no limit. Beyond it answers stay unscored, and rollouts
    hold."""
    usd_per_rollout: Amount = 10.0
    """The same for one rollout."""
    question_bytes: Annotated[int, Field(ge=1024, le=64 * KIB)] = 32 * KIB
    """Of a conversation so much of its end is shown to the judge."""
    answer_bytes: Annotated[int, Field(ge=1024, le=64 * KIB)] = 32 * KIB
    """Of an answer so much of its beginning."""
    calibration_labels: Annotated[int, Field(ge=1, le=5000)] = 50
    """Labelled answers that `judge calibrate` needs, of which people found a tenth good and a tenth bad …"""
    calibration_kappa: Annotated[float, Field(ge=0, le=1)] = 0.6
    """… and the agreement with people (Cohen's kappa); a judge below may not promote on its scores alone."""
    anchors: str | None = None
    """Folder of answers (RUBRIC.jsonl, as for `judge calibrate`) that are scored again now and then while a
    rollout is judged: if their mean shifts, the judge drifts, and rollouts hold. None: nobody looks."""
    anchor_seconds: Annotated[float, Field(ge=1, le=604_800)] = 3600.0
    """How often, s."""
    anchor_shift: Annotated[float, Field(gt=0, le=1)] = 0.1
    """A shift of their mean score that is too large, if it is no chance (99 %)."""
    keep_seconds: Annotated[float, Field(gt=0, le=30 * 86_400)] = 86_400.0
    """Words of questions and answers are in the store until they are judged, and never longer than this,
    s."""
    redact: tuple[str, ...] = ()
    """RE2 expressions; what they find in a question, an answer or a comment of feedback is replaced before
    anything is stored."""


class EvalSettings(Section):
    """The offline gate: with this section suites of pending versions are run by themselves."""

    suites: str = "config/evals/suites"
    """Folder of suites (promptfoo's YAML, see docs/evals.md): a prompt's `suite: name` is name.yaml."""
    base_url: str | None = None
    """Where versions are tried; default: the first upstream."""
    api_key: str | None = Field(default=None, repr=False)
    """Its key; default: that upstream's."""
    model: str | None = None
    """The model of versions that leave it to the client."""
    timeout: Seconds = 60.0
    """Limit of one answer, s."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Calls for one answer while the provider fails."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    """Runs of cases under way at once."""
    compare_with_live: bool = True
    """Run the live version on the same cases; a candidate whose mean score is worse (95 %, paired) fails."""
