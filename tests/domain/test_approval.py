import doctest

from gateway.domain import approval
from gateway.domain.approval import basis_of
from gateway.domain.prompt import Gate


def test_doctests() -> None:
    assert doctest.testmod(approval).failed == 0


def test_a_basis_is_of_all_values() -> None:
    gate = Gate("passed", suite="s", at=1.0)
    assert basis_of(gate, 1) == basis_of(Gate("passed", suite="s", at=1.0), 1)
    assert basis_of(gate, 1) != basis_of(gate, 2)
    assert basis_of(gate, 1) != basis_of(Gate("passed", suite="s", at=2.0), 1)
