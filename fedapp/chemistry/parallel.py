"""Many SMILES at once, over processes."""

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from fedapp.chemistry.structure import Structure, describe_all
from fedapp.config import Chemistry
from fedapp.errors import DataError
from fedapp.processes import follow_parent

CHUNK = 250  # about a quarter of a second of work: progress is smooth and an interrupt is answered soon
SERIAL = 8 * CHUNK  # below this, starting processes costs more than it saves

Described = list[Structure | str]


def describe_many(
    smiles: Sequence[str],
    chemistry: Chemistry,
    key: bytes,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Generator[Described, None, None]:
    """Describe all structures, in order, chunk by chunk, so that a caller can store results as they come.

    A caller that may stop early closes the generator (`contextlib.closing`), which ends the processes.

    Args:
        smiles: Any SMILES.
        chemistry: As in `describe`.
        key: As in `describe`.
        workers: Processes; None means one per core, 1 works in this process.
        progress: Called with (structures done, all structures).
    Raises:
        DataError: A worker process died (killed, or out of memory).
    """
    chunks = [smiles[start : start + CHUNK] for start in range(0, len(smiles), CHUNK)]
    work = partial(describe_all, chemistry=chemistry, key=key)
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    done = 0
    for described in in_processes(work, chunks, workers) if workers > 1 and len(smiles) > SERIAL else map(work, chunks):
        done += len(described)
        yield described
        if progress is not None:
            progress(done, len(smiles))


def in_processes(work: Callable[[Sequence[str]], Described], chunks: list[Sequence[str]], workers: int) -> Iterator[Described]:
    """Yield `work(chunk)` for each chunk, in order.

    Processes are spawned, not forked: the caller may hold threads (polars, torch) whose locks a fork would copy.
    """
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=follow_parent)
    waiting: list[Future[Described]] = []
    try:
        waiting = [pool.submit(work, chunk) for chunk in chunks]
        waiting.reverse()
        while waiting:
            yield waiting.pop().result()
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process died while computing fingerprints",
            "the machine may be out of memory: try again with fewer workers; what was there before is untouched",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
