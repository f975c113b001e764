"""The OpenAPI document says what the API does: generated requests meet no 5xx and no undocumented answer."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.rollouts import Start
from gateway.domain.names import NAME
from gateway.storage.sqlite import SqliteStore
from gateway.web import build_admin
from gateway.web.admin import DOCUMENT, ROUTES
from tests.support.prompts import prompt_text
from tests.support.stores import PATIENT

PROMPT = "support-agent"
EXAMPLES = 25  # requests an operation
CHECKS = [
    schemathesis.checks.not_a_server_error,
    *(status_code_conformance, content_type_conformance, response_headers_conformance),
    *(response_schema_conformance, negative_data_rejection, unsupported_method),
]
SPEC = json.loads(DOCUMENT)
CONFIG = SchemathesisConfig(
    projects=ProjectsConfig(
        default=ProjectConfig(
            generation=GenerationConfig(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
        )
    )
)
SCHEMA = schemathesis.openapi.from_dict(SPEC, config=CONFIG)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An admin API with a prompt of three versions and a rollout, in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    folder = tmp_path_factory.mktemp("openapi")
    store, runner = asyncio.run_coroutine_threadsafe(serve(folder), loop).result()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    for closing in (runner.cleanup(), store.close()):
        asyncio.run_coroutine_threadsafe(closing, loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def serve(folder: Path) -> tuple[SqliteStore, web.AppRunner]:
    async def readiness() -> dict[str, object]:
        return {"ready": True}

    store = SqliteStore(folder, limits=PATIENT)
    await store.open()
    operations = StoreOperations(store)
    for body in ("one", "two", "three"):
        await operations.push(prompt_text(body), "file", By("ann"))
    await operations.deploy(PROMPT, 1, By("ann"))
    await operations.start(PROMPT, Start(2, 0.1), By("ann"))
    runner = web.AppRunner(build_admin(store, readiness), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return store, runner


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_documented(case: Case, url: str) -> None:
    known = {"prompt": PROMPT, "version": 1}
    for name, value in known.items():
        # Half of the requests are of what there is; what is no name stays as it was generated.
        given = (case.path_parameters or {}).get(name)
        if isinstance(given, str) and NAME.match(given) and len(given) % 2:
            case.path_parameters[name] = value
    if case.operation.path == "/v1/events" and str(case.query.get("wait", 0)).isdecimal():
        case.query["wait"] = 0  # what follows for ever ends for this test after what there is
    case.call_and_validate(base_url=url, checks=CHECKS)


def test_every_operation_is_in_the_document() -> None:
    documented = {
        (method.upper(), path): operation
        for path, methods in SPEC["paths"].items()
        for method, operation in methods.items()
    }
    assert set(documented) == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        operation = documented[route.method, route.path]
        assert operation["operationId"] == route.name
        assert operation.get("x-role") == route.role
        assert ("401" in operation["responses"]) == (route.role is not None)
    assert len({route.name for route in ROUTES}) == len(ROUTES)
