"""`judge calibrate` as people run it: a process, the simulated judge, a store that keeps what it came to."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.control.audit import read_page
from gateway.evals.calibration import Calibration
from gateway.simulator import Simulator, load_scenario, start_simulator
from gateway.storage import codec, keys
from gateway.storage.sqlite import SqliteStore
from tests.support.judging import labels
from tests.support.stores import PATIENT

SCENARIO = "judge: {noise: 0.05, behaviour: {first_token_ms: 0, gap_ms: 0}}"
CONFIG = """\
upstream: {{base_url: 'http://127.0.0.1:{port}/v1'}}
store: {{kind: sqlite, directory: {folder}/store}}
judge: {{base_url: 'http://127.0.0.1:{port}/v1', model: judge-model, attempts: 1, patience: 5}}
prices: {{judge-model: {{input: 1, output: 1}}}}
"""


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    started = await start_simulator(load_scenario(SCENARIO))
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(port=started.port, folder=tmp_path))
    (tmp_path / "labels.jsonl").write_text(labels(40, wrong=2))
    yield started
    await started.close()


async def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "judge", "calibrate", str(folder / "labels.jsonl")),
        *("--config", str(folder / "gateway.yaml"), "--actor", "ann", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_it_comes_to_is_printed_kept_and_in_the_audit_log(
    tmp_path: Path, simulator: Simulator
) -> None:
    code, out, err = await run(tmp_path, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["counts"] == {"both": 38, "missed": 2, "false": 2, "neither": 38}
    assert found["kappa"]["estimate"] == pytest.approx(0.9)
    assert found["true_positives"]["low"] < 0.95 < found["true_positives"]["high"]
    assert (found["rubric"], found["by"], found["weighted"]) == ("helpful", "ann", 80)
    assert found["usd"] > 0.0
    store = SqliteStore(tmp_path / "store", limits=PATIENT)
    await store.open()
    try:
        document = await store.get(keys.calibration(found["bench"]))
        assert document is not None
        assert codec.decode_document(document, Calibration).calibrated
        (entry,) = (await read_page(store, before=None, limit=9)).entries
        assert (entry.action, entry.subject, entry.actor) == ("calibrate", "rubric:helpful", "ann")
    finally:
        await store.close()


async def test_a_judge_that_disagrees_is_said_and_not_calibrated(
    tmp_path: Path, simulator: Simulator
) -> None:
    (tmp_path / "labels.jsonl").write_text(labels(40, wrong=15))
    code, out, _ = await run(tmp_path)
    assert code == 1
    assert "kappa: 0.25 (" in out
    assert "NOT CALIBRATED: kappa is 0.25; needed is 0.6" in out


async def test_without_an_answer_there_is_no_data(tmp_path: Path, simulator: Simulator) -> None:
    text = (tmp_path / "gateway.yaml").read_text()
    (tmp_path / "gateway.yaml").write_text(text.replace("patience: 5", "patience: 0.2"))
    (tmp_path / "labels.jsonl").write_text(labels(2))
    await simulator.close()
    code, out, _ = await run(tmp_path)
    assert code == 3
    assert "without a score: unreachable: 4" in out


async def test_a_rubric_that_is_not_there_is_refused(tmp_path: Path, simulator: Simulator) -> None:
    code, out, err = await run(tmp_path, "--rubric", "brief")
    assert (code, out) == (2, "")
    assert "there is no rubric 'brief'; there is helpful" in err
