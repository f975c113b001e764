"""By whom and by what each rollout is judged: frozen by its first item, whichever process has it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from gateway.errors import ConfigError, StoreRevised
from gateway.evals.rubric import Bench, Rubric
from gateway.settings import JudgeSettings
from gateway.storage import codec
from gateway.storage.base import Documents, Put

logger = logging.getLogger(__name__)

KEPT = 256  # rollouts


class Benches:
    """`prompt` is the digest of the judge's prompt; `key` where a rollout's bench stands in the store. Raises
    `ConfigError` for a rubric that is named and not there."""

    def __init__(
        self,
        store: Documents,
        settings: JudgeSettings,
        rubrics: Mapping[str, Rubric],
        *,
        prompt: str,
        key: Callable[[str], str],
    ) -> None:
        self._store = store
        self._settings = settings
        self._rubrics = rubrics
        self._prompt = prompt
        self._key = key
        self._known: dict[str, Bench] = {}  # by rollout
        check_rubrics(settings, rubrics)

    async def of(self, prompt: str, rollout: str) -> Bench:
        known = self._known.get(rollout)
        while known is None:
            key = self._key(rollout)
            document = await self._store.get(key)
            if document is not None:
                known = codec.decode_document(document, Bench)
                break
            rubric = self._rubrics[self._settings.by_prompt.get(prompt, self._settings.rubric)]
            bench = Bench(self._settings.model, rubric, self._prompt)
            try:
                await self._store.commit([Put(key, codec.encode(bench), 0)])
            except StoreRevised:
                continue
            logger.info("%s of %s is judged by %s, rubric %s", rollout, prompt, bench.model, rubric.name)
            known = bench
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[rollout] = known
        return known


def check_rubrics(settings: JudgeSettings, rubrics: Mapping[str, Rubric]) -> None:
    """Raises `ConfigError` for a rubric that is named and not there."""
    for name in (settings.rubric, *settings.by_prompt.values()):
        if name not in rubrics:
            known = ", ".join(sorted(rubrics)) or "none"
            raise ConfigError(f"judge: there is no rubric {name!r} in {settings.rubrics}; there is {known}")
