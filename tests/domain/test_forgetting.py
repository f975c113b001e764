from gateway.domain.forgetting import LISTED, Forgotten, unseen, with_cleared


def cleared(number: int) -> Forgotten:
    told: Forgotten | None = None
    for each in range(number):
        told = with_cleared(told, "p", "r", f"{each:04x}", float(each))
    assert told is not None
    return told


def test_what_is_new_since_the_last_look() -> None:
    told = cleared(3)
    assert told.count == 3
    assert [each.session for each in unseen(told, 1) or ()] == ["0001", "0002"]
    assert unseen(told, 3) == ()
    assert unseen(told, 9) == ()


def test_the_list_is_bounded_and_says_when_it_does_not_reach_back() -> None:
    told = cleared(LISTED + 5)
    assert (told.count, len(told.sessions)) == (LISTED + 5, LISTED)
    assert unseen(told, 4) is None
    assert len(unseen(told, 5) or ()) == LISTED


def test_another_rollout_begins_a_new_list() -> None:
    told = with_cleared(cleared(3), "p", "other", "ff", 9.0)
    assert (told.rollout, told.count, len(told.sessions)) == ("other", 1, 1)
