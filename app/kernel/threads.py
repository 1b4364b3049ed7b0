"""Work cut into pieces, each computed by one thread."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def in_order(function: Callable[[Piece], Result], pieces: Iterable[Piece], threads: int) -> Iterator[Result]:
    """`function` of every piece, in order, `threads` of them at a time and at most one result ahead for each.

    A piece runs on one thread: a LAPACK call gives other bits with another number of threads, so that one which is
    split by torch would make results depend on the machine. Closing the iterator drops what has not begun.
    """
    threads_before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    pending: deque[Future[Result]] = deque()
    try:
        for piece in pieces:
            pending.append(pool.submit(function, piece))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        # the pool's threads set their own number, and with it the one that threads to come begin with
        torch.set_num_threads(threads_before)


def alone(function: Callable[[], Result]) -> Result:
    """One result, computed by one thread, so that the number of threads is no part of it."""
    (result,) = in_order(lambda work: work(), [function], 1)
    return result
