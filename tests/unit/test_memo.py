"""What is remembered of words: no more than is said, and the same for threads that share it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from thrift_plugins.text.memo import Memo


def test_each_is_worked_out_once() -> None:
    asked: list[str] = []

    def of(word: str) -> int:
        asked.append(word)
        return len(word)

    memo = Memo(of, 10)
    assert [memo["a"], memo["bb"], memo["a"]] == [1, 2, 1]
    assert asked == ["a", "bb"]


def test_it_stays_small() -> None:
    memo = Memo(len, 10, letters=4)
    assert [memo[str(number)] for number in range(1_000)] == [len(str(number)) for number in range(1_000)]
    assert len(memo) <= 10
    assert memo["a" * 5] == 5
    assert "a" * 5 not in memo


def test_threads_share_it() -> None:
    memo = Memo(len, 50)
    words = ["x" * (number % 30) + str(number % 70) for number in range(20_000)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda word: memo[word], words))
    assert found == [len(word) for word in words]
    assert len(memo) <= 50 + 8, "as many as there are threads may each add one more"
