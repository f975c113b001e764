import doctest
import importlib
import pkgutil

import pytest

import gateway.analysis

MODULES = [module.name for module in pkgutil.iter_modules(gateway.analysis.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_printed_number_is_what_the_code_prints(name: str) -> None:
    assert not doctest.testmod(importlib.import_module(f"gateway.analysis.{name}")).failed
