import doctest
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import gateway.stats

MODULES = [module.name for module in pkgutil.iter_modules(gateway.stats.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_printed_number_is_what_the_code_prints(name: str) -> None:
    result = doctest.testmod(interpreted(name))
    assert result.attempted
    assert not result.failed


def interpreted(name: str) -> ModuleType:
    """From its source: doctest finds nothing in a compiled module."""
    spec = importlib.util.spec_from_file_location(
        f"interpreted_{name}", Path(gateway.stats.__path__[0]) / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
