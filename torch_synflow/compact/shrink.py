"""Building the same network without the channels that carry nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from torch_synflow._warnings import warn_user
from torch_synflow.compact.choice import Choice, choose
from torch_synflow.compact.comparison import compare
from torch_synflow.compact.constants import fold, folds
from torch_synflow.compact.copies import cloned, copied, dense, own_random_numbers
from torch_synflow.compact.costs import report_of_shrinking
from torch_synflow.compact.empty import may_be_empty
from torch_synflow.compact.narrow import as_one_operation, narrow
from torch_synflow.compact.optimizer import at_rest, carried
from torch_synflow.compact.probe import failing_operation
from torch_synflow.compact.slicing import cut, indices_by_name, set_heads
from torch_synflow.compact.trace import check_paths, follow
from torch_synflow.compact.tracer import Tracer
from torch_synflow.model.masks import pruned_parameters
from torch_synflow.model.parameters import ExampleInputs, unwrap
from torch_synflow.model.prunable import refuse_sharded
from torch_synflow.model.threads import ONE_AT_A_TIME

#: the largest number of operations that may have sizes in their code
_ATTEMPTS = 50


def shrink(
    model: nn.Module, example_inputs: ExampleInputs, *, optimizer: torch.optim.Optimizer | None = None
) -> nn.Module:
    r"""Build the same network without the neurons, channels and attention heads that carry nothing.

    A channel :math:`c` of the masked network is removed if, in every tensor that contains it,

    .. math:: x_c = 0 \text{ for all inputs} \quad \text{or} \quad \frac{\partial f}{\partial x_c} = 0,

    now and at each later step of training. Outputs in evaluation and in training, and the weights after training, are
    the same up to rounding, except for dropout, which draws one number per channel. A channel stays if it passes on a
    trained bias or BatchNorm offset, or if an operation such as LayerNorm reads the whole tensor. Of the channels that
    pass on constants that nothing can change, one stays for all. Channels that meet in a sum are removed only together.
    A layer without kept weights computes nothing, and a residual block that lost a layer becomes the constant behind
    it, or the identity. The remaining weights keep their masks.

    Before it returns the network, the call compares outputs on ``example_inputs`` and on random inputs.

    Args:
        model: a model with masks of ``torch.nn.utils.prune``. It is not changed.
        example_inputs: the model's inputs: a tensor, a tuple of positional arguments or a mapping of keyword arguments.
            The first dimension is the batch.
        optimizer: an optimizer of the model's parameters. The call replaces these by the parameters of the smaller
            network, with the momentum and other state of the remaining elements.

    Returns:
        The smaller network, without ``DataParallel`` or ``torch.compile``, and without gradients. Its ``shrink_report``
        lists the savings per layer, and the reasons why channels stay. A model without masks is returned unchanged,
        with a warning.

    Raises:
        TypeError: if ``model`` is not a module, or ``optimizer`` is not an optimizer.
        ValueError: if the model is sharded, does not run on ``example_inputs``, has operations other than torch's
            between its layers, has no path from the input to an output, or a state of the optimizer cannot be cut.
            Nothing is changed.

    Source: Frankle et al. 2021, section 5, on how many neurons SynFlow empties.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> mask = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 1]])
        >>> _ = prune.custom_from_mask(model[2], "weight", mask)
        >>> small = prune.shrink(model, torch.rand(1, 3))
        >>> small[0].weight.shape, small[2].weight_mask.tolist()
        (torch.Size([2, 3]), [[1.0, 1.0], [0.0, 1.0]])
        >>> print(small.shrink_report)
        14 of 26 parameters (0.538), 72 of 136 bytes (0.529), 10 of 20 MACs (0.500)
        layer  channels  kept  parameters  kept  MACs  kept
        0             4     2          16     8    12     6
        2             2     2          10     6     8     4
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    if example_inputs is None:
        raise ValueError("example_inputs: expected the model's inputs, got None; prune.shrink(model, x)")
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer: expected a torch.optim.Optimizer, got {type(optimizer).__name__}")
    model = unwrap(model)
    refuse_sharded(model, "to shrink")
    if not pruned_parameters(model):
        warn_user(
            "shrink: the model has no masks, and is returned unchanged; prune it first, or restore the masks that "
            "remove_all returned with prune.apply_masks"
        )
        return model
    with ONE_AT_A_TIME, own_random_numbers(), torch.inference_mode(False):
        small, put = _shrunk(model, cloned(example_inputs), optimizer)
    put()
    return small


def _shrunk(
    model: nn.Module, example_inputs: ExampleInputs, optimizer: torch.optim.Optimizer | None
) -> tuple[nn.Module, Callable[[], None]]:
    plain = copied(model)
    masks = dense(plain)
    as_one_operation(plain)
    with torch.no_grad():
        for parameter in plain.parameters():
            if id(parameter) in masks:
                parameter.masked_fill_(~masks[id(parameter)], 0)
    modes = {name: module.training for name, module in model.named_modules()}
    tracer, outputs = follow(plain, example_inputs, masks, _resting(model, optimizer))
    flags = tracer.cells.settled()
    check_paths(tracer, outputs, flags)
    fixed: list[Tensor] = []
    empty = may_be_empty(plain)
    held = Counter(id(one) for _, one in plain.named_parameters(remove_duplicate=False))
    constants = folds(tracer, flags, {name for name, one in plain.named_parameters() if held[id(one)] == 1})
    notes: list[str] = []
    for _ in range(_ATTEMPTS):
        choice = choose(tracer, flags, fixed, empty, constants)
        indices = indices_by_name(tracer, choice, plain)
        small = copied(model)
        folded = [part for one, parts in constants.items() if bool(choice.removed[one]) for part in parts]
        fold(small, folded)
        cut(small, indices)
        set_heads(small, tracer, choice)
        narrow(small, tracer, choice)
        failed = failing_operation(small, example_inputs)
        if failed is None:
            break
        if any(not parameter.numel() for parameter in small.parameters()):
            empty = set()  # an operation may need at least one channel, so each layer keeps one
            continue
        notes.append(_note(failed, tracer, choice, fixed))
    else:
        raise ValueError(f"model: expected at most {_ATTEMPTS} operations with sizes in their code, got {notes[-1]}")
    put = (lambda: None) if optimizer is None else carried(optimizer, model, small, indices)
    compare(model, small, example_inputs, rounded=bool(folded))
    report = report_of_shrinking(model, small, example_inputs, tracer, choice, tuple(notes))
    small.__dict__["shrink_report"] = report
    for name, module in small.named_modules():
        module.training = modes[name]
    return small, put


def _note(failed: tuple[str, int, Exception], tracer: Tracer, choice: Choice, fixed: list[Tensor]) -> str:
    """Note the operation of the smaller network that does not run, and keep its channels."""
    name, number, error = failed
    found = [cells for operation, cells in tracer.touched if operation == name][number : number + 1]
    removed = [part[choice.removed[part]] for cells in found for part in cells]
    if not any(map(len, removed)):
        raise ValueError(
            f"{name}: expected it to run with fewer channels, got {type(error).__name__}: {error}; nothing was changed"
        ) from error
    fixed += removed
    return f"{name} keeps its channels, because its code expects their number: {error}"


def _resting(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> dict[str, Tensor]:
    return {
        name.removesuffix("_orig"): at_rest(optimizer, parameter)
        for name, parameter in model.named_parameters()
        if parameter.dim() == 1
    }
