"""Work that is spread over all processors, a process on each."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context

import torch
from threadpoolctl import threadpool_limits

from fedapp.runtime.processes import follow_parent


@contextmanager
def processes() -> Iterator[ProcessPoolExecutor]:
    """A process on each processor; all of them, and this one, compute with a single thread: several that wait for each other are slower."""
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=begin) as workers, threadpool_limits(1):
        try:
            torch.set_num_threads(1)
            yield workers
        except BaseException:  # whoever is interrupted does not wait for minutes of work that nobody will look at
            workers.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.terminate()
            raise
        finally:
            torch.set_num_threads(threads)


def begin() -> None:
    """A worker's first act."""
    follow_parent()
    torch.set_num_threads(1)
    threadpool_limits(1)
