"""Labels: what is known of a compound in a task, how exactly, and how much it counts."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedapp.data.csr import csr_positions

BELOW, EXACT, ABOVE = -1, 0, 1  # where the true value lies, seen from a label's value


@dataclass(frozen=True)
class Labels:
    """(compound, task, value, censor, weight) of all labels of some compounds, CSR over compounds; n compounds, m labels.

    Attributes:
        indptr: int64 [n + 1]; the labels of compound i are indptr[i] to indptr[i + 1].
        tasks: int32 [m], ascending within a compound.
        values: float32 [m]: a class, 0 inactive or 1 active, or a value in the unit of its task.
        censors: int8 [m], one of `BELOW`, `EXACT` and `ABOVE`.
        weights: float32 [m], of a label itself; its task's comes on top (`fedapp.model.batches.assemble`).
    """

    indptr: NDArray[np.int64]
    tasks: NDArray[np.int32]
    values: NDArray[np.float32]
    censors: NDArray[np.int8]
    weights: NDArray[np.float32]

    @classmethod
    def exact(cls, indptr: NDArray[np.int64], tasks: NDArray[np.int32], values: NDArray[np.float32]) -> "Labels":
        """Labels that are all exact, which takes no memory: a single element stands for a whole column."""
        return cls.unweighted(indptr, tasks, values, np.broadcast_to(np.int8(EXACT), tasks.shape))

    @classmethod
    def unweighted(
        cls, indptr: NDArray[np.int64], tasks: NDArray[np.int32], values: NDArray[np.float32], censors: NDArray[np.int8]
    ) -> "Labels":
        """Labels that all have weight one, as they lie on disk; that column takes no memory either."""
        return cls(indptr, tasks, values, censors, np.broadcast_to(np.float32(1.0), tasks.shape))

    def __len__(self) -> int:
        """Labels, over all compounds."""
        return len(self.tasks)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The compound of each label: int64 [m]."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def of(self, rows: NDArray[np.int64]) -> "Labels":
        """Those of these compounds, in the order given."""
        return self._at(*csr_positions(self.indptr, rows))

    def of_tasks(self, tasks: NDArray[np.int32]) -> "Labels":
        """Those of these tasks, ascending, which become tasks 0, 1 and so on; of all compounds."""
        kept = np.isin(self.tasks, tasks)
        counts = np.concatenate([[0], np.cumsum(kept)])
        chosen = self._at(counts[self.indptr], np.flatnonzero(kept))
        return replace(chosen, tasks=np.searchsorted(tasks, chosen.tasks).astype(np.int32))

    def followed_by(self, others: "Labels") -> "Labels":
        """With the compounds of `others` behind these."""
        return Labels(
            indptr=np.concatenate([self.indptr, self.indptr[-1] + others.indptr[1:]]),
            tasks=np.concatenate([self.tasks, others.tasks]),
            values=np.concatenate([self.values, others.values]).astype(np.float32),
            censors=np.concatenate([self.censors, others.censors]),
            weights=np.concatenate([self.weights, others.weights]),
        )

    def _at(self, indptr: NDArray[np.int64], positions: NDArray[np.int64]) -> "Labels":
        values = self.values[positions].astype(np.float32, copy=False)
        return Labels(indptr, self.tasks[positions], values, self.censors[positions], self.weights[positions])
