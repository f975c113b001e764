"""/v1/models with the configuration's aliases, where that is asked for."""

from __future__ import annotations

from pathlib import Path

import anthropic
import openai
import pytest

from tests.support.scripted_provider import on_uvloop
from tests.support.worker import WorkerStage, worker_stage

BINDINGS = {"aliases": {"fast": "greeter", "sim-large": "greeter"}, "list_models": True}


async def names(stage: WorkerStage, **headers: str) -> list[str]:
    url = f"http://127.0.0.1:{stage.port}/v1"
    async with openai.AsyncOpenAI(
        base_url=url, api_key="k", max_retries=0, default_headers=headers
    ) as client:
        return [model.id async for model in client.models.list()]


@on_uvloop
async def test_aliases_are_models_where_the_configuration_says_so(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, bindings=BINDINGS) as stage:
        assert await names(stage) == ["fast", "sim-small", "sim-large"]
        headers = dict(stage.seen()[-1]["headers"])
        assert headers["accept-encoding"] == "identity"
        url = f"http://127.0.0.1:{stage.port}"
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
            page = await client.models.list()
            assert [model.id for model in page.data][:1] == ["fast"]
            assert (await client.models.retrieve("fast")).display_name == "fast"
        async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0) as client:
            assert (await client.models.retrieve("fast")).owned_by == "prompt-canary"
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("none")
        await stage.assert_empty()


@on_uvloop
async def test_by_default_it_passes_unchanged(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, bindings={"aliases": {"fast": "greeter"}}) as stage:
        assert await names(stage) == ["sim-small", "sim-large"]
        await stage.assert_empty()


@on_uvloop
async def test_a_provider_without_the_route_leaves_the_aliases(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, bindings=BINDINGS) as stage:
        assert await names(stage, **{"x-sim-fault": "status_404"}) == ["fast", "sim-large"]
        await stage.assert_empty()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status_401", openai.AuthenticationError),
        ("status_500", openai.InternalServerError),
        ("close_before_head", openai.InternalServerError),
        ("close_mid_stream", openai.InternalServerError),
    ],
)
@on_uvloop
async def test_the_providers_failures_stay_failures(
    tmp_path: Path, fault: str, error: type[Exception]
) -> None:
    async with worker_stage(tmp_path, bindings=BINDINGS) as stage:
        with pytest.raises(error):
            await names(stage, **{"x-sim-fault": fault})
        await stage.assert_empty()


@pytest.mark.parametrize("fault", ["gzip", "huge_body"])
@on_uvloop
async def test_what_cannot_be_merged_is_relayed(tmp_path: Path, fault: str) -> None:
    async with worker_stage(tmp_path, bindings=BINDINGS) as stage:
        url = f"http://127.0.0.1:{stage.port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            raw = await client.models.with_raw_response.list(extra_headers={"x-sim-fault": fault})
            body = raw.http_response.content
        assert len(body) == 32 * 1024 * 1024 + 2 if fault == "huge_body" else b"sim-small" in body
        await stage.assert_empty()
