"""How many bytes of bodies a worker holds: order, patience, and that waking does not recurse."""

from gateway.errors import Overloaded
from gateway.proxy.budget import PATIENCE, BodyBudget


class Asker:
    def __init__(self, budget: BodyBudget, size: int, *, brief: bool = False) -> None:
        self.budget = budget
        self.size = size
        self.brief = brief  # gives back what it is granted at once
        self.granted = 0
        self.refused: Overloaded | None = None

    def ask(self, now: float = 0.0) -> bool:
        return self.budget.take(self.size, self, now)

    def budget_granted(self) -> None:
        self.granted += 1
        if self.brief:
            self.budget.release(self.size)

    def budget_refused(self, error: Overloaded) -> None:
        self.refused = error


def test_what_fits_is_granted_and_the_rest_waits_in_order() -> None:
    budget = BodyBudget(100)
    assert budget.take(60, Asker(budget, 60), 0.0)
    large, small = Asker(budget, 50), Asker(budget, 10)
    assert not large.ask()
    assert not small.ask(), "a small one must not overtake for ever"
    budget.release(60)
    assert (large.granted, small.granted, budget.held) == (1, 1, 60)


def test_one_body_above_the_whole_budget_is_taken_when_nothing_else_is_held() -> None:
    budget = BodyBudget(100)
    assert Asker(budget, 500).ask()
    assert not Asker(budget, 1).ask()
    assert not budget.grow(1)
    budget.release(500)
    assert budget.held == 1


def test_who_has_waited_too_long_is_refused_and_those_behind_have_room() -> None:
    budget = BodyBudget(100)
    assert Asker(budget, 60).ask()
    large, small = Asker(budget, 50), Asker(budget, 10)
    large.ask(0.0)
    small.ask(1.0)
    budget.sweep(PATIENCE - 0.1)
    assert large.refused is None
    budget.sweep(PATIENCE)
    assert large.refused is not None and large.refused.retry_after
    assert (small.granted, small.refused, budget.held) == (1, None, 70)


def test_one_that_leaves_makes_room_for_those_behind_it() -> None:
    budget = BodyBudget(100)
    assert Asker(budget, 60).ask()
    large, small = Asker(budget, 50), Asker(budget, 10)
    large.ask()
    small.ask()
    budget.forget(large)
    assert (large.granted, small.granted, budget.held) == (0, 1, 70)


def test_thousands_that_are_done_at_once_are_woken_in_one_go() -> None:
    budget = BodyBudget(100)
    assert Asker(budget, 100).ask()
    waiting = [Asker(budget, 100, brief=True) for _ in range(5000)]
    assert not any(asker.ask() for asker in waiting)
    budget.release(100)
    assert all(asker.granted == 1 for asker in waiting)
    assert budget.held == 0
