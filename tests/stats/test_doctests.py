import doctest
import importlib
import pkgutil

import pytest

import gateway.stats

MODULES = [module.name for module in pkgutil.iter_modules(gateway.stats.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_printed_number_is_what_the_code_prints(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"gateway.stats.{name}"))
    assert result.attempted
    assert not result.failed
