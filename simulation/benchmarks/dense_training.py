"""The yardstick of training: the design of SparseChem, written anew from what was published of it.

Fingerprints are a sparse COO matrix times a dense first layer; that layer's gradient, heads and optimiser are dense; logits are computed
for all tasks, and those that have a label are picked out for the loss (Arany et al., arXiv 2203.04676, section 2).
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedapp.config import Training
from fedapp.data.dataset import Dataset
from fedapp.model.batches import chunks


class DenseNetwork(nn.Module):
    """One hidden layer, with heads for all tasks.

    Args:
        bits, hidden, tasks: Widths.
        dropout: Share of hidden outputs dropped in training.
    """

    def __init__(self, bits: int, hidden: int, tasks: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(bits, hidden).uniform_(-(bits**-0.5), bits**-0.5))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.rest = nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, tasks))

    def forward(self, fingerprints: Tensor) -> Tensor:
        """Logits of all tasks: (compounds, tasks)."""
        logits: Tensor = self.rest(torch.sparse.mm(fingerprints, self.weight) + self.bias)
        return logits


def dense_epoch(network: DenseNetwork, adam: torch.optim.Adam, dataset: Dataset, rows: np.ndarray, settings: Training) -> None:
    """One shuffled pass over `rows`."""
    device = network.bias.device
    for chunk in chunks(np.random.default_rng(1).permutation(rows), settings.batch_size):
        indptr, bits = dataset.fingerprints(chunk)
        places = np.stack([np.repeat(np.arange(len(chunk)), np.diff(indptr)), bits])
        ones = torch.ones(len(bits), device=device)
        fingerprints = torch.sparse_coo_tensor(
            torch.from_numpy(places).to(device), ones, (len(chunk), dataset.bits), check_invariants=False
        )
        labels = dataset.labels.of(chunk)
        compounds, tasks = torch.from_numpy(labels.owners).to(device), torch.from_numpy(labels.tasks).long().to(device)
        adam.zero_grad()
        observed = network(fingerprints)[compounds, tasks]
        binary_cross_entropy_with_logits(observed, torch.from_numpy(labels.values).to(device)).backward()
        adam.step()
