"""`pull` and `diff`: a version as the file that it can be pushed from, and two of them side by side.

Both are made of what `Operations.version` shows, so that they are the same on the store and through an admin
API.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli.output import NOTHING
from gateway.cli.prompts import PromptArgument, read_file
from gateway.cli.session import Session, operation
from gateway.domain.prompt import digest
from gateway.errors import ConfigError, InvalidValue, PromptNotDeployed
from gateway.promptfiles import difference, prompty
from gateway.promptfiles.difference import Difference
from gateway.promptfiles.prompty import PromptFile

SUFFIX = ".prompty"
LIVE, NEWEST = "live", "newest"
STYLES = {"+": "green", "-": "red", "@": "cyan"}
SideArgument = typer.Argument(metavar=f"VERSION|{LIVE}|{NEWEST}|FILE", help=f"A number, or a {SUFFIX} file.")


class Pulled(msgspec.Struct, frozen=True):
    """`file` is the text; `path` where it was written, null if nowhere."""

    prompt: str
    version: int
    digest: str
    file: str
    path: str | None


class Compared(msgspec.Struct, frozen=True):
    """`before`, `after`: names of the sides, `support-agent/2` or a file's path. The rest is as in the admin
    API's `VersionDiff`."""

    prompt: str
    before: str
    after: str
    same: bool
    parts: tuple[Difference, ...]
    text: str


class AsText(Compared, frozen=True):
    """To be shown as text."""


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: prompt-canary pull support-agent 2 --output config/prompts/")(pull)
    app.command(epilog="Example: prompt-canary diff support-agent live newest")(diff)


def _pulled(value: Pulled) -> RenderableType:
    if value.path is None:
        return value.file
    return Text(f"{value.prompt}/{value.version} is in {value.path}")


@operation(_pulled)
async def pull(
    session: Session,
    prompt: PromptArgument,
    version: Annotated[str, typer.Argument(metavar=f"VERSION|{LIVE}|{NEWEST}", help="Which one.")] = LIVE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File or folder to write to; else it is printed.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace a file that says something else.")] = False,
) -> Pulled:
    """A version as a .prompty file. Pushed again, it is the same version with the same metadata."""
    number = await _number(session, prompt, version)
    file = await _stored(session, prompt, number)
    text = prompty.write(file)
    path = None if output is None else _write(output, f"{prompt}{SUFFIX}", text, force)
    return Pulled(prompt, number, digest(file.content), text, path)


def _compared(value: Compared) -> RenderableType:
    if isinstance(value, AsText):
        return value.text
    if not value.parts:
        return Text(f"{value.before} and {value.after} are the same")
    head = f"{value.before} → {value.after}" + (": only metadata differ" if value.same else "")
    return Group(Text(head), *(line for each in value.parts for line in _part(each)))


def _part(each: Difference) -> Iterator[Text]:
    """A part with its lines, as in a unified diff; a field in one line."""
    if not each.where.startswith("messages["):
        yield Text(f"{each.where}: {_json(each.before)} → {_json(each.after)}")
        return
    role = (each.after or each.before)["role"]
    yield Text(f"{each.where} ({role}): {each.change}", style="bold")
    old, new = (("" if side is None else side["text"]).splitlines() for side in (each.before, each.after))
    for line in itertools.islice(unified_diff(old, new, lineterm=""), 2, None):  # without the files' names
        yield Text(line, style=STYLES.get(line[:1], ""))


@operation(_compared)
async def diff(
    session: Session,
    prompt: PromptArgument,
    before: Annotated[str, SideArgument] = LIVE,
    after: Annotated[str, SideArgument] = NEWEST,
    text: Annotated[bool, typer.Option("--text", help="As one unified diff of the two files.")] = False,
) -> Compared:
    """What two versions differ in, by part and by field; a side can be a file that is not pushed yet."""
    sides = [await _side(session, prompt, given) for given in (before, after)]
    names = sides[0][0], sides[1][0]
    old, new = sides[0][1], sides[1][1]
    same = digest(old.content) == digest(new.content)
    written = difference.text(old, new, names)
    return (AsText if text else Compared)(prompt, *names, same, difference.differences(old, new), written)


async def _side(session: Session, prompt: str, given: str) -> tuple[str, PromptFile]:
    if given.endswith(SUFFIX):
        return given, prompty.parse(read_file(Path(given)), source=given)
    number = await _number(session, prompt, given)
    return f"{prompt}/{number}", await _stored(session, prompt, number)


async def _number(session: Session, prompt: str, given: str) -> int:
    if given.isascii() and given.isdigit() and len(given) < 10:
        return int(given)
    if given not in (LIVE, NEWEST):
        raise InvalidValue(
            f"a version is a number, {LIVE!r} or {NEWEST!r}, not {given!r:.80}", param="version"
        )
    view = await session.operations.prompt(prompt)
    if given == NEWEST:
        return view.versions[0].number
    if view.live is None:
        raise PromptNotDeployed(f"{prompt} has no live version: name one by its number", param="version")
    return view.live


async def _stored(session: Session, prompt: str, number: int) -> PromptFile:
    detail = await session.operations.version(prompt, number)
    return PromptFile(prompt, detail.content, detail.version.metadata)


def _write(output: Path, name: str, text: str, force: bool) -> str:
    path = output / name if output.is_dir() else output
    try:
        if not force and path.exists() and path.read_bytes() != text.encode():
            raise InvalidValue(f"{path} says something else: --force replaces it", param="output")
        path.write_bytes(text.encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    return str(path)


def _json(value: Any) -> str:
    return NOTHING if value is None else msgspec.json.encode(value).decode()
