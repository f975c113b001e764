"""What the judge's process is made of; the process itself is tests/e2e/test_judge.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.judge import build_gatekeeper, build_judge, read_anchors, read_rubrics
from gateway.settings import EvalSettings, JudgeSettings, Settings, load_settings
from gateway.storage.sqlite import SqliteStore
from tests.support.stores import PATIENT

RUBRIC = "name: {name}\ncriteria:\n  - {{name: a, question: Good, anchors: [bad, good]}}\n"
CONFIG = """\
upstream: {{base_url: 'http://127.0.0.1:1/v1'}}
judge: {{base_url: 'http://127.0.0.1:1/v1', model: {model}{more}}}
"""


def settings(model: str = "gpt-4o-mini", more: str = "") -> Settings:
    return load_settings(CONFIG.format(model=model, more=more), source="test.yaml", environment={})


def section(folder: Path) -> JudgeSettings:
    return JudgeSettings(base_url="http://127.0.0.1:1/v1", model="m", rubrics=str(folder))


def test_rubrics_are_known_by_their_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(RUBRIC.format(name=name))
    assert sorted(read_rubrics(section(tmp_path))) == ["one", "two"]
    (tmp_path / "three.yaml").write_text(RUBRIC.format(name="two"))
    with pytest.raises(ConfigError, match="a rubric 'two' is there already"):
        read_rubrics(section(tmp_path))
    (tmp_path / "three.yaml").write_text("name: three\n")
    with pytest.raises(ConfigError, match=r"judge.rubrics: .*three.yaml: Object missing required field"):
        read_rubrics(section(tmp_path))
    (tmp_path / "three.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rubrics(section(tmp_path))


def test_anchors_are_read_by_rubric_and_the_shipped_ones_are_enough(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[1] / "config" / "evals" / "anchors"
    found = read_anchors(section(tmp_path).model_copy(update={"anchors": str(shipped)}))
    assert len(found["helpful"]) == 12
    assert {item.label for item in found["helpful"]} == {True, False}
    assert read_anchors(section(tmp_path)) == {}
    given = section(tmp_path).model_copy(update={"anchors": str(tmp_path)})
    (tmp_path / "few.jsonl").write_text('{"answer": "a", "label": true}')
    with pytest.raises(ConfigError, match=r"few.jsonl: at least 10 answers"):
        read_anchors(given)
    (tmp_path / "few.jsonl").write_text("{")
    with pytest.raises(ConfigError, match=r"few.jsonl:1: a line is"):
        read_anchors(given)
    with pytest.raises(ConfigError, match="is not a folder"):
        read_anchors(given.model_copy(update={"anchors": str(tmp_path / "none")}))


async def test_a_folder_of_suites_must_be_there(tmp_path: Path) -> None:
    given = settings().model_copy(update={"evals": EvalSettings(suites=str(tmp_path))})
    await build_gatekeeper(given, SqliteStore(tmp_path, limits=PATIENT))._trier.close()
    given = settings().model_copy(update={"evals": EvalSettings(suites=str(tmp_path / "none"))})
    with pytest.raises(ConfigError, match="is not a folder"):
        build_gatekeeper(given, SqliteStore(tmp_path, limits=PATIENT))


async def test_a_limit_in_usd_needs_a_price(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore(tmp_path, limits=PATIENT)
    rubrics = read_rubrics(settings().judge or section(tmp_path))
    build_judge(settings(more=", usd_per_day: 1"), store, rubrics)
    assert not caplog.records
    build_judge(settings("house-model"), store, rubrics)
    assert "house-model have no price" in caplog.text
    with pytest.raises(ConfigError, match="house-model has no price"):
        build_judge(settings("house-model", ", usd_per_day: 1"), store, rubrics)
