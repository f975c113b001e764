"""Prompt files that belong to the configuration: pushed at every start, deployed where nothing is live."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.control.rollouts import Rollouts
from gateway.errors import ConfigError, GateNotPassed
from gateway.promptfiles import prompty
from gateway.settings import Seed

logger = logging.getLogger(__name__)

BY = By("seed", "the configuration's prompt files")
SUFFIX = "*.prompty"


async def seed(registry: Registry, settings: Seed) -> None:
    """Push every file in the folder; the same content is the same version. With `deploy`, a prompt that has
    no live version gets the one of its file. Raises `ConfigError`, `PromptFileError`, `StoreUnavailable`."""
    for source, text in await asyncio.to_thread(_read_folder, Path(settings.directory)):
        pushed = await registry.push(prompty.parse(text, source=source), BY)
        if pushed.created:
            logger.info("%s/%d pushed from %s", pushed.prompt, pushed.version, source)
        deployment, revision = await registry.deployment(pushed.prompt)
        if not settings.deploy or deployment.live is not None:
            continue
        try:
            await Rollouts(registry.store).deploy(pushed.prompt, pushed.version, BY, expected=revision)
        except GateNotPassed as error:
            logger.warning("not deployed: %s", error.message)
            continue
        logger.info("%s/%d is live", pushed.prompt, pushed.version)


def _read_folder(folder: Path) -> list[tuple[str, str]]:
    if not folder.is_dir():
        raise ConfigError(f"seed.directory: {folder} is not a folder")
    try:
        return [(str(path), path.read_text(encoding="utf-8")) for path in sorted(folder.glob(SUFFIX))]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"seed.directory: {folder} cannot be read: {error}") from error
