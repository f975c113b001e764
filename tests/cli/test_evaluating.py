"""`eval` as pipelines run it: a process, files, exit codes, reports."""

from __future__ import annotations

import asyncio
import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.control.cases import CaseBook
from gateway.control.plan import By
from gateway.domain.case import Words, case_id
from gateway.domain.observation import Drawn
from gateway.simulator import load_scenario, start_simulator
from gateway.storage.sqlite import SqliteStore
from tests.support.stores import PATIENT

SCENARIO = """\
default: {first_token_ms: 0, gap_ms: 0, tokens: 10, quality: 0.9, quality_spread: 0}
rules:
  - {name: bad, contains: bad, behaviour: {refusal_rate: 1}}
  - {name: down, contains: down, behaviour: {error_rate: 1, error_status: 503}}
"""
SUITE = """\
tests:
  - {description: "helps <b>", vars: {input: Hello}, assert: [{type: not-is-refusal}], options: {repeat: 2}}
  - {description: ends, vars: {input: Hi}, assert: [{type: finish-reason, value: stop}]}
"""
CONFIG = """\
upstream: {{base_url: 'http://127.0.0.1:{port}/v1'}}
evals: {{model: sim, attempts: 1}}
"""


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    simulator = await start_simulator(load_scenario(SCENARIO))
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(port=simulator.port))
    (tmp_path / "suite.yaml").write_text(SUITE)
    for edition in ("good", "bad", "down"):
        text = f"---\nname: greeter\n---\nsystem:\nYou are {edition}.\n"
        (tmp_path / f"{edition}.prompty").write_text(text)
    yield tmp_path
    await simulator.close()


async def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "eval", *arguments),
        *("--suite", str(folder / "suite.yaml"), "--config", str(folder / "gateway.yaml")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_good_prompt_passes_and_a_bad_one_fails_with_reports(folder: Path) -> None:
    code, out, err = await run(folder, str(folder / "good.prompty"))
    assert (code, err) == (0, "")
    assert "2 of 2 cases passed" in out
    reports = [str(folder / "report.xml"), str(folder / "report.md")]
    code, out, _ = await run(
        folder, str(folder / "bad.prompty"), "--junit", reports[0], "--markdown", reports[1], "--json"
    )
    assert code == 1
    assert json.loads(out)["state"] == "failed"
    root = ElementTree.parse(reports[0]).getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    failed = root.find("testcase/failure")
    assert failed is not None
    assert failed.get("message") == "not-is-refusal (line 2): it holds"
    assert "| helps <b> | failed | 0 of 2 | 0.00 |" in Path(reports[1]).read_text()


async def test_with_accepted_cases_of_the_store(folder: Path) -> None:
    config = folder / "gateway.yaml"
    config.write_text(config.read_text() + f"store: {{kind: sqlite, directory: '{folder}/store'}}\n")
    store = SqliteStore(folder / "store", limits=PATIENT)
    await store.open()
    unit, book = Drawn(b"a session's hash", True, 0.5, 1.0, 1.0, 0.0), CaseBook(store)
    words = Words("user: Why?", "Because.")
    await book.quarantine("greeter", 1, "0123456789ab", unit, words, ("loop",), None)
    wanted = [{"type": "contains", "value": "never said"}]
    await book.accept("greeter", case_id("0123456789ab", unit.session), wanted, By("ann"))
    await store.close()
    code, out, _ = await run(folder, str(folder / "good.prompty"))
    assert (code, "2 of 2 cases passed" in out) == (0, True)
    code, out, err = await run(folder, str(folder / "good.prompty"), "--cases")
    assert (code, err) == (1, "")
    assert "2 of 3 cases passed" in out


async def test_no_data_is_neither(folder: Path) -> None:
    code, out, _ = await run(folder, str(folder / "down.prompty"), "--junit", str(folder / "r.xml"))
    assert code == 3
    assert "incomplete: helps <b> (the provider answered 503)" in out.replace("\n", " ")
    assert ElementTree.parse(folder / "r.xml").getroot().get("errors") == "2"


async def test_what_cannot_be_run_is_said(folder: Path) -> None:
    (folder / "suite.yaml").write_text("tests: [{assert: [{type: magic}]}]")
    code, out, err = await run(folder, str(folder / "good.prompty"))
    assert (code, out) == (2, "")
    assert "suite.yaml:1: there is no check 'magic'" in err
