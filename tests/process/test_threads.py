"""Work that is done ahead: in order, no further ahead than asked, errors in their turn."""

import threading

import pytest

from dwijax.process.threads import prefetch


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_keep_their_order_and_the_items_their_distance(workers):
    taken, furthest = [], 0

    def items():
        for i in range(7):
            taken.append(i)
            yield i

    found = []
    for result in prefetch(lambda i: i * i, items(), workers):
        found.append(result)
        furthest = max(furthest, len(taken) - len(found))
    assert found == [i * i for i in range(7)]
    assert furthest == min(workers, 6)


def test_the_next_is_made_while_one_is_looked_at():
    begun = [threading.Event() for _ in range(2)]

    def make(i):
        begun[i].set()
        return i

    results = prefetch(make, range(2))
    assert next(results) == 0
    assert begun[1].wait(timeout=60)
    assert list(results) == [1]


def test_an_error_comes_in_its_turn():
    def half(i):
        if i == 2:
            raise ValueError("the third")
        return i / 2

    results = prefetch(half, range(4))
    assert [next(results), next(results)] == [0, 0.5]
    with pytest.raises(ValueError, match="the third"):
        next(results)
