"""Following a model's channels in evaluation and in training, to find those that carry nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._warnings import listed
from torch_synflow.compact import attention, elementwise, layers, movement
from torch_synflow.compact.cells import INPUT, Cells
from torch_synflow.compact.copies import batch_of_two, run, tensors_of
from torch_synflow.compact.held import Held
from torch_synflow.compact.nodes import Flags, Weighted
from torch_synflow.compact.tracer import Tracer
from torch_synflow.model.parameters import ExampleInputs

RULES = {**elementwise.RULES, **movement.RULES, **layers.RULES, **attention.RULES}


def held_tensors(model: nn.Module, masks: dict[int, Tensor]) -> dict[int, Held]:
    """All parameters and buffers, by identity."""
    held: dict[int, Held] = {}
    for name, parameter in model.named_parameters():
        kept = masks.get(id(parameter))
        if kept is None:
            kept = torch.ones_like(parameter, dtype=torch.bool) if parameter.requires_grad else parameter.detach() != 0
        held[id(parameter)] = Held(name, parameter, kept.cpu(), parameter.requires_grad)
    for name, buffer in model.named_buffers():
        held[id(buffer)] = Held(name, buffer, torch.ones_like(buffer, dtype=torch.bool, device="cpu"), False)
    return held


def follow(
    model: nn.Module, example_inputs: ExampleInputs, masks: dict[int, Tensor], resting: dict[str, Tensor]
) -> tuple[Tracer, Tensor]:
    """Run a model without masks under a :class:`Tracer`, in evaluation and in training.

    Args:
        model: a copy, whose buffers may change.
        example_inputs: the model's inputs.
        masks: the masks by the identity of the parameters.
        resting: for the names of biases where an optimizer leaves an element as it is that gets no gradient.

    Returns:
        The tracer, and the cells of the outputs in evaluation.

    Raises:
        ValueError: if the forward pass fails, or returns no tensor.
    """
    tracer = Tracer(Cells(), held_tensors(model, masks), RULES)
    for held in tracer.held.values():
        if held.name in resting:
            held.steady = ~held.kept | ((held.tensor.detach().cpu() == 0) & (resting[held.name] | (not held.trained)))
    handles = []
    for name, module in model.named_modules():

        def enter(module: nn.Module, args: Any, name: str = name) -> None:
            tracer.modules.append((name, module))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            tracer.paused = True  # what is read here is no operation of the model
            for tensor in tensors_of(output):
                tracer.check(tensor)
            tracer.paused = False
            tracer.modules.pop()

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    model.eval()
    outputs = _outputs(tracer, model, example_inputs)
    model.train()
    tracer.modules.clear()
    _outputs(tracer, model, batch_of_two(example_inputs))
    for handle in handles:
        handle.remove()
    for held in tracer.held.values():
        if -1 in held.axes:  # read whole by what is not known
            for cells in [*held.axes.values(), *([] if held.elements is None else [held.elements])]:
                tracer.cells.pin(cells, f"{held.name} is read whole")
    return tracer, outputs


def _outputs(tracer: Tracer, model: nn.Module, inputs: ExampleInputs) -> Tensor:
    with torch.enable_grad():
        try:
            for tensor in tensors_of(inputs):
                tracer.put(tensor, torch.tensor(INPUT))
            with tracer:
                results = tensors_of(run(model, inputs))
        except Exception as error:
            if isinstance(error, ValueError) and "custom operation" in str(error):
                raise
            raise ValueError(
                f"{tracer.module or 'model'}: expected a model that runs on example_inputs, got "
                f"{type(error).__name__}: {error}"
            ) from error
    if not results:
        raise ValueError("model: expected outputs that are tensors, or tuples, lists or mappings of them, got none")
    cells = [tracer.of(result).reshape(-1) for result in results]
    for part in cells:
        tracer.sink(part, "an output of the model")
    return torch.cat(cells)


def check_paths(tracer: Tracer, outputs: Tensor, flags: Flags) -> None:
    """Raise if the outputs do not depend on the inputs, naming the layer that cuts the network."""
    if bool(flags.moving[outputs].any()):
        return
    cuts = [
        node for node in tracer.cells.nodes
        if isinstance(node, Weighted) and flags.moving[node.source].any() and not flags.moving[node.target].any()
    ]  # fmt: skip
    left = [name for name, _ in tracer.touched if name.partition(" in ")[0] in ("numpy", "tolist", "item")]
    if left and not cuts:
        raise ValueError(
            f"{left[0]}: expected operations of torch from the input to the outputs, got values that leave torch; "
            "shrink cannot follow channels through it"
        )
    empty = [node for node in cuts if not node.kept.any()]
    where = listed(list(dict.fromkeys(node.label for node in empty or cuts))) or "model"
    raise ValueError(
        f"{where}: expected a path from the input to some output, got a network that is cut there (layer collapse); "
        "the input reaches no output: prune less, or with BalancedSynFlow"
    )
