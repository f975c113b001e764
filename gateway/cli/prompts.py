"""Commands on prompts and their versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.cli import output
from gateway.cli.session import ReasonOption, RevisionOption, Session, operation
from gateway.control.registry import Pushed
from gateway.control.replay import Replay
from gateway.control.views import DeploymentView, PromptView, VersionView
from gateway.domain.policy import seconds
from gateway.domain.prompt import Gate
from gateway.errors import ConfigError
from gateway.promptfiles import prompty

PromptArgument = Annotated[str, typer.Argument(help="Name of the prompt.", show_default=False)]
VersionArgument = Annotated[int, typer.Argument(min=1, help="Number of the version.", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: prompt-canary push config/prompts/")(push)
    app.command(epilog="Example: prompt-canary versions support-agent")(versions)
    app.command(epilog="Example: prompt-canary live --json")(live)
    app.command(epilog="Example: prompt-canary replay 3f2a9c01b7de")(replay)
    app.command(epilog='Example: prompt-canary deploy support-agent 3 --reason "hotfix for refunds"')(deploy)
    app.command(epilog="Example: prompt-canary gate support-agent 3 passed --suite evals/support.yaml")(gate)


@operation(output.replayed, failed=lambda result: not result.agree)
async def replay(
    session: Session,
    rollout: Annotated[str, typer.Argument(help="Id of the rollout.", show_default=False)],
) -> Replay:
    """Reach every verdict of a rollout again from its evidence. Exit code 1 if one is another."""
    return await session.operations.replay(rollout)


@operation(output.pushed)
async def push(
    session: Session,
    paths: Annotated[
        list[Path], typer.Argument(help="Files, or folders of *.prompty files.", show_default=False)
    ],
    reason: ReasonOption = "",
) -> list[Pushed]:
    """Make versions of prompt files. The same content is the same version, so repeating it is harmless."""
    files = [(str(path), read_file(path)) for given in paths for path in _files(given)]
    for source, text in files:
        prompty.parse(text, source=source)  # all or none, as far as the files are at fault
    return [await session.operations.push(text, source, session.by(reason)) for source, text in files]


@operation(output.versions)
async def versions(session: Session, prompt: PromptArgument) -> PromptView:
    """The versions of a prompt and their states, newest first."""
    return await session.operations.prompt(prompt)


@operation(output.deployments)
async def live(session: Session) -> tuple[DeploymentView, ...]:
    """What is live: each prompt's version and the rollout that runs."""
    return await session.operations.prompts()


@operation(output.deployment)
async def deploy(
    session: Session,
    prompt: PromptArgument,
    version: VersionArgument,
    reason: ReasonOption = "",
    emergency: Annotated[bool, typer.Option(help="Do without the version's gate.")] = False,
    expires: Annotated[
        str | None, typer.Option(help="Take an emergency deploy back after this time, such as 90s, 30m, 2h.")
    ] = None,
    watch: Annotated[
        str | None,
        typer.Option(
            help="Watch an emergency deploy under this policy: its holdback of new sessions stays on the "
            "version before, and harm rolls back by itself.",
            metavar="POLICY",
        ),
    ] = None,
    if_revision: RevisionOption = None,
) -> DeploymentView:
    """Make a version live at once, for everyone; a running rollout of the prompt is aborted."""
    return await session.operations.deploy(
        prompt,
        version,
        session.by(reason),
        emergency=emergency,
        expires_in=None if expires is None else seconds(expires),
        watch=watch,
        expected=if_revision,
    )


@operation(output.version)
async def gate(
    session: Session,
    prompt: PromptArgument,
    version: VersionArgument,
    state: Annotated[Literal["pending", "passed", "failed"], typer.Argument(show_default=False)],
    suite: Annotated[str, typer.Option(help="Digest or name of the suite that was run.", show_default=False)],
    detail: Annotated[str, typer.Option(help="What came out, in a few words.")] = "",
    reason: ReasonOption = "",
) -> VersionView:
    """Record the result of a version's offline suite."""
    result = Gate(state, suite=suite, detail=detail)
    return await session.operations.record_gate(prompt, version, result, session.by(reason))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.prompty"))
    if not found:
        raise ConfigError(f"{path}: there are no .prompty files in this folder")
    return found


def read_file(path: Path) -> str:
    """Raises `ConfigError`."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8: {error}") from error
