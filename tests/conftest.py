"""Tests run on what is compiled, if anything is: it must be what the sources say."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytest_plugins = ("tests.support.fleets",)


def stale(root: Path) -> list[str]:
    """Compiled modules whose source is newer than the compiled library."""
    built = max((library.stat().st_mtime for library in root.glob("gateway__mypyc*.so")), default=0.0)
    sources = [
        module.with_name(module.name.partition(".")[0] + ".py") for module in root.glob("gateway/**/*.so")
    ]
    return sorted(str(path.relative_to(root)) for path in sources if path.stat().st_mtime > built)


def pytest_configure() -> None:
    if old := stale(ROOT):
        pytest.exit(f"compiled before {old[0]} was changed: run `make deps`, or `make pure`", returncode=4)
