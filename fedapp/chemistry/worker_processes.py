"""Processes that describe structures, each of which can be lost without losing more than the structure that it was at.

RDKit cannot be interrupted, so a worker has the kernel end it when one structure has taken its time. The chunk that it was at is then done
again by a new worker, one structure at a time, which shows the one to reject.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from fedapp.chemistry.rejection import CRASHED, TOO_SLOW
from fedapp.chemistry.structure import Structure
from fedapp.errors import DataError
from fedapp.runtime.processes import follow_parent

SECONDS = 1.0  # of a processor, for one structure: a thousand times what a drug takes
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)

Work = Callable[[str], Structure | str]
Described = list[Structure | str]


class Worker:
    """One process, and what is known of the chunk that it is at."""

    def __init__(self, work: Work, seconds: float) -> None:
        context = multiprocessing.get_context("spawn")  # not forked: the caller may hold threads (polars, torch) whose locks a fork copies
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, seconds), daemon=True)
        self.process.start()
        theirs.close()
        self.number = -1
        self.smiles: Sequence[str] = ()
        self.described: Described = []
        self.singly = False

    def start(self, number: int, smiles: Sequence[str], described: Described, singly: bool) -> None:
        """Go on with a chunk of which the first results are known; `singly` sends each result as soon as it is there."""
        rest = smiles[len(described) :]
        self.number, self.smiles, self.described, self.singly = number, smiles, described, singly or len(rest) == 1
        with suppress(BrokenPipeError):  # it died: `receive` finds out why
            self.connection.send([[item] for item in rest] if singly else [rest])

    def receive(self) -> None:
        """Take over results.

        Raises:
            EOFError: The process ended.
        """
        try:
            self.described += self.connection.recv()
        except ConnectionResetError as error:
            raise EOFError from error

    def why_ended(self) -> str:
        """The reason to reject the structure that it was at.

        Raises:
            DataError: The structure is not to blame.
        """
        self.process.join()
        code = -(self.process.exitcode or 0)
        if code == signal.SIGVTALRM:
            return TOO_SLOW
        if code in CRASHES:
            return CRASHED
        raise DataError(
            "a worker process died while computing fingerprints",
            "the machine may be out of memory: try again with fewer workers; what was there before is untouched",
        )

    def end(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, work: Work, seconds: float) -> None:
    """Describe parts of chunks until the parent closes its end."""

    def limited(smiles: str) -> Structure | str:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # when it runs out, SIGVTALRM ends this process
        described = work(smiles)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return described

    follow_parent()
    with suppress(EOFError):
        while True:
            for part in connection.recv():
                connection.send([limited(item) for item in part])


def in_processes(work: Work, chunks: Sequence[Sequence[str]], workers: int, seconds: float = SECONDS) -> Iterator[Described]:
    """Yield the description of every structure, chunk by chunk, in order.

    Args:
        work: Describes one structure; can be pickled.
        chunks: SMILES.
        workers: Processes.
        seconds: Processor time after which a structure is rejected.
    Raises:
        DataError: A worker process died, and not of its structure (killed, or out of memory).
    """
    finished: dict[int, Described] = {}
    waiting = list(enumerate(chunks))[::-1]
    pool = [Worker(work, seconds) for _ in range(min(workers, len(chunks)))]
    try:
        for worker in pool:
            worker.start(*waiting.pop(), [], singly=False)
        for awaited in range(len(chunks)):
            while awaited not in finished:
                _advance(pool, work, seconds, finished, waiting)
            yield finished.pop(awaited)
    finally:
        for worker in pool:
            worker.end()


def _advance(
    pool: list[Worker], work: Work, seconds: float, finished: dict[int, Described], waiting: list[tuple[int, Sequence[str]]]
) -> None:
    """Wait until a worker has something to tell, and give it its next chunk, or its place to a new one."""
    ready = wait([worker.connection for worker in pool])
    for index, worker in enumerate(pool):
        if worker.connection not in ready:
            continue
        try:
            worker.receive()
        except EOFError:
            ended, reason = worker, worker.why_ended()
            ended.connection.close()
            described = [*ended.described, reason] if ended.singly else ended.described
            worker = pool[index] = Worker(work, seconds)
            worker.start(ended.number, ended.smiles, described, singly=True)
        if len(worker.described) == len(worker.smiles):
            finished[worker.number] = worker.described
            if waiting:
                worker.start(*waiting.pop(), [], singly=False)
