"""Work in threads, its results in order, and never more of it in memory than was allowed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
END = object()


def ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    most: int | Callable[[Item], float],
    threads: int = 1,
    ends: type[BaseException] = Exception,
) -> Iterator[Result]:
    """``work`` of each item in order, done in threads ahead of who asks; items are drawn in the caller's own thread.

    Args:
        most: how many items are in work, or done and not yet asked for, at the most; or how many there may be as a
            certain item begins. One there always is.
        threads: with 0 each item is drawn and done when it is asked for, in the caller's own thread.
        ends: what may end the drawing; ``BaseException`` includes Ctrl-C.

    What ``work`` raises is raised at its item's place, and ends it; what drawing raises comes after all before it.
    """
    if not threads:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    failure: list[BaseException] = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in _until_failure(items, failure, ends):
                room = most(item) if callable(most) else most
                while waiting and len(waiting) + 1 > room:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # where nobody asks any more
                future.cancel()
    if failure:
        raise failure[0]


def _until_failure(items: Iterable[Item], failure: list[BaseException], ends: type[BaseException]) -> Iterator[Item]:
    try:
        yield from items
    except GeneratorExit:
        raise
    except ends as error:
        failure.append(error)


def drawn_ahead(items: Iterable[Item], most: int) -> Iterator[Item]:
    """The items, drawn in a thread of their own: up to ``most`` wait while one is used."""
    source = iter(items)
    for item in ahead(lambda _: next(source, END), repeat(None), most + 1):
        if item is END:
            return
        yield item  # type: ignore[misc]
