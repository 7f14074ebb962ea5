"""What a partner keeps between two rounds: heads and the optimiser's moments, as named tensors."""

import torch
from torch import Tensor

from fedapp.errors import RunError
from fedapp.model.adam import Adam
from fedapp.model.network import Heads, Trunk

STEPS = "adam.steps"


def named_parameters(trunk: Trunk, heads: Heads) -> dict[str, torch.nn.Parameter]:
    """Every parameter by a name that says whose it is."""
    parts = {"trunk": trunk, "heads": heads}
    return {f"{part}.{name}": parameter for part, module in parts.items() for name, parameter in module.named_parameters()}


def private_state(trunk: Trunk, heads: Heads, adam: Adam) -> dict[str, Tensor]:
    """Heads, and Adam's moments of trunk and heads. The trunk itself is not part of it: it arrives anew each round."""
    tensors: dict[str, Tensor] = {f"heads.{name}": parameter.detach() for name, parameter in heads.named_parameters()}
    for name, mean, square in zip(named_parameters(trunk, heads), adam.means, adam.squares, strict=True):
        tensors |= {f"adam.{name}.mean": mean, f"adam.{name}.square": square}
    return tensors | {STEPS: adam.steps}


def restore(trunk: Trunk, heads: Heads, adam: Adam, tensors: dict[str, Tensor]) -> None:
    """Put the tensors of `private_state` back in place.

    Raises:
        RunError: They belong to other tasks or to another network.
    """
    try:
        with torch.no_grad():
            for name, parameter in heads.named_parameters():
                if parameter.shape != tensors[f"heads.{name}"].shape:
                    raise RunError(f"the saved heads have shape {tuple(tensors[f'heads.{name}'].shape)}, not {tuple(parameter.shape)}")
                parameter.copy_(tensors[f"heads.{name}"])
        names, device = named_parameters(trunk, heads), heads.weight.device
        adam.means = [tensors[f"adam.{name}.mean"].to(device) for name in names]
        adam.squares = [tensors[f"adam.{name}.square"].to(device) for name in names]
        adam.steps = tensors[STEPS].to(device)
    except KeyError as error:
        raise RunError(f"the saved state lacks {error}", "it was written for another configuration: start a new run") from error
