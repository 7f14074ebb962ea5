"""Many SMILES at once, over processes."""

import os
from collections.abc import Callable, Generator, Sequence
from functools import partial

from fedapp.chemistry.parse import SHORT
from fedapp.chemistry.structure import describe, describe_all
from fedapp.chemistry.worker_processes import Described, in_processes
from fedapp.config import Chemistry

CHUNK = 250  # about a quarter of a second of work: progress is smooth and an interrupt is answered soon
SERIAL = 8 * CHUNK  # below this, starting processes costs more than it saves


def describe_many(
    smiles: Sequence[str],
    chemistry: Chemistry,
    key: bytes | None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Generator[Described, None, None]:
    """Describe all structures, in order, chunk by chunk, so that a caller can store results as they come.

    A structure that takes too long, or crashes RDKit, is rejected alone. What a short SMILES can take is bounded by what it can spell;
    longer ones are described in processes that end at their time limit, however few there are.

    A caller that may stop early closes the generator (`contextlib.closing`), which ends the processes.

    Args:
        smiles: Any SMILES.
        chemistry: As in `describe`.
        key: As in `describe`.
        workers: Processes; None means one per core, 1 works in this process unless a SMILES is long.
        progress: Called with (structures done, all structures).
    Raises:
        DataError: A worker process died, and not of its structure (killed, or out of memory).
    """
    chunks = [smiles[start : start + CHUNK] for start in range(0, len(smiles), CHUNK)]
    work = partial(describe_all, chemistry=chemistry, key=key)
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    alone = (workers == 1 or len(smiles) <= SERIAL) and all(len(text) <= SHORT for text in smiles)
    single = partial(describe, chemistry=chemistry, key=key)
    done = 0
    for described in map(work, chunks) if alone else in_processes(single, chunks, workers):
        done += len(described)
        yield described
        if progress is not None:
            progress(done, len(smiles))
