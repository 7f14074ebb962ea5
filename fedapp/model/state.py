"""What a partner keeps between two rounds: heads and the optimiser's moments, as named tensors."""

import torch
from torch import Tensor

from fedapp.errors import RunError
from fedapp.model.adam import Adam
from fedapp.model.network import Heads, Trunk

STEPS, HELD = "adam.steps", "adam.held"
FIRST = "trunk.weight"


def named_parameters(trunk: Trunk, heads: Heads) -> dict[str, torch.nn.Parameter]:
    """Every parameter by a name that says whose it is."""
    parts = {"trunk": trunk, "heads": heads}
    return {f"{part}.{name}": parameter for part, module in parts.items() for name, parameter in module.named_parameters()}


def private_state(trunk: Trunk, heads: Heads, adam: Adam) -> dict[str, Tensor]:
    """Heads, and Adam's moments of trunk and heads. The trunk itself is not part of it: it arrives anew each round."""
    tensors: dict[str, Tensor] = {f"heads.{name}": parameter.detach() for name, parameter in heads.named_parameters()}
    for name, mean, square in zip(named_parameters(trunk, heads), adam.means, adam.squares, strict=True):
        tensors |= {f"adam.{name}.mean": mean, f"adam.{name}.square": square}
    held = {} if adam.held is None else {HELD: adam.held}
    return tensors | {STEPS: adam.steps} | held


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
        moments = {key: tensors[key].to(device) for name in names for key in (f"adam.{name}.mean", f"adam.{name}.square")}
        rows = trunk.weight.shape[0]
        for key in (f"adam.{FIRST}.mean", f"adam.{FIRST}.square"):
            moments[key] = of_rows(moments[key], tensors.get(HELD), adam.held, rows)
        adam.means = [moments[f"adam.{name}.mean"] for name in names]
        adam.squares = [moments[f"adam.{name}.square"] for name in names]
        adam.steps = tensors[STEPS].to(device)
    except KeyError as error:
        raise RunError(f"the saved state lacks {error}", "it was written for another configuration: start a new run") from error


def of_rows(values: Tensor, earlier: Tensor | None, held: Tensor | None, rows: int) -> Tensor:
    """Moments of the rows `earlier` of all `rows` as those of `held`, None for all: 0 for a row that had none."""
    if (earlier is None and held is None) or (earlier is not None and held is not None and torch.equal(earlier.to(held.device), held)):
        return values
    whole = values
    if earlier is not None:
        whole = values.new_zeros((rows, *values.shape[1:])).index_copy_(0, earlier.to(values.device), values)
    return whole if held is None else whole.index_select(0, held)
