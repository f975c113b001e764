"""What tables and sentences say beyond what the golden sessions show."""

import io

import pytest
from rich.console import Console

from gateway.cli import output
from gateway.control.views import DeploymentView
from gateway.domain.rollout import Emergency


@pytest.mark.parametrize("worse", [False, True])
def test_a_live_version_that_fails_more_often_is_marked(worse: bool) -> None:
    view = DeploymentView("greeter", 7, 2, None, None, None, emergency=Emergency(5.0, 1, worse))
    file = io.StringIO()
    Console(width=200, file=file).print(output.deployments([view]), output.deployment(view))
    said = file.getvalue()
    assert said.count("2 (fails more often than 1 did)") == worse
    assert said.count("greeter/2 is live (fails more often than 1 did);") == worse
