"""Prompt files of the configuration: pushed and deployed at the first start, harmless at every other."""

from pathlib import Path

import pytest

from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.control.seed import seed
from gateway.errors import ConfigError, PromptFileError
from gateway.settings import Seed
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import described, prompt_text


async def test_a_second_start_changes_nothing(
    store: SqliteStore, operations: StoreOperations, tmp_path: Path
) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "a.prompty").write_text(prompt_text("one", name="a"))
    (folder / "b.prompty").write_text(prompt_text("one", name="b", front=described(suite="evals/b.yaml")))
    settings = Seed(directory=str(folder), deploy=True)
    await seed(Registry(store), settings)
    assert [(view.prompt, view.live) for view in await operations.prompts()] == [("a", 1), ("b", None)]
    revision = (await store.tick()).revision
    await seed(Registry(store), settings)
    assert (await store.tick()).revision == revision


async def test_a_live_version_is_left_alone(
    store: SqliteStore, operations: StoreOperations, tmp_path: Path
) -> None:
    await operations.push(prompt_text("old"), "a", By("ann"))
    await operations.deploy("support-agent", 1, By("ann"))
    (tmp_path / "a.prompty").write_text(prompt_text("new"))
    await seed(Registry(store), Seed(directory=str(tmp_path), deploy=True))
    view = await operations.prompt("support-agent")
    assert view.live == 1
    assert len(view.versions) == 2


async def test_bad_folders_and_files_are_named(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        await seed(Registry(store), Seed(directory=str(tmp_path / "none")))
    (tmp_path / "bad.prompty").write_text("no front matter")
    with pytest.raises(PromptFileError, match=r"bad\.prompty"):
        await seed(Registry(store), Seed(directory=str(tmp_path)))
