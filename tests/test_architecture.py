"""The house keeps its budgets (see docs/architecture.md); the floors are import-linter's."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8

FILES = sorted(path for folder in ("gateway", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_keeps_its_budgets(path: Path) -> None:
    slips = []
    lines = len(path.read_text().splitlines())
    if lines > MAX_FILE_LINES:
        slips.append(f"{path.relative_to(ROOT)} has {lines} lines")
    for function in functions(path):
        length = (function.end_lineno or 0) - function.lineno + 1
        arguments = function.args
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
        if length > MAX_FUNCTION_LINES:
            slips.append(f"{where(path, function)} {function.name} has {length} lines")
        if count > MAX_PARAMETERS + 1:  # and self
            slips.append(f"{where(path, function)} {function.name} has {count} parameters")
        inner = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
        slips += [f"{where(path, node)} imports inside a function" for node in inner]
        slips += [f"{where(path, n)} has a global" for n in ast.walk(function) if isinstance(n, ast.Global)]
    assert not slips, "\n".join(slips)


def test_every_package_opens_with_a_map() -> None:
    missing = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "gateway").rglob("__init__.py")
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not missing


def test_no_broad_silence() -> None:
    silent = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler) or not isinstance(node.type, ast.Name):
                continue
            only_pass = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            if node.type.id in ("Exception", "BaseException") and only_pass:
                silent.append(where(path, node))
    assert not silent
