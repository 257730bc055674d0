"""The costs of a model's layers before and after, and the reasons why channels without input stay."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow.compact.cells import INPUT
from torch_synflow.compact.choice import Choice
from torch_synflow.compact.copies import copied, own_random_numbers, run
from torch_synflow.compact.held import Heads
from torch_synflow.compact.nodes import Pointwise, Shift, Weighted
from torch_synflow.compact.report import ShrinkReport, ShrunkLayer
from torch_synflow.compact.tracer import Tracer
from torch_synflow.model.parameters import ExampleInputs


def macs_of(model: nn.Module, example_inputs: ExampleInputs) -> dict[str, int]:
    """Multiply-accumulate operations of each module, without its submodules, by torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode  # imported here because it imports a lot

    model = copied(model).eval()
    spent: Counter[str] = Counter()
    started: list[tuple[int, int]] = []  # the count at the start, and that of modules inside
    with FlopCounterMode(display=False) as counter, own_random_numbers():

        def enter(module: nn.Module, args: Any) -> None:
            started.append((counter.get_total_flops(), 0))

        for name, module in model.named_modules():

            def leave(module: nn.Module, args: Any, output: Any, name: str = name) -> None:
                begin, inside = started.pop()
                all_of_it = counter.get_total_flops() - begin
                spent[name] += all_of_it - inside
                if started:
                    around, before = started[-1]
                    started[-1] = around, before + all_of_it

            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
        run(model, example_inputs)
    return {name: count // 2 for name, count in spent.items()}


def report_of_shrinking(
    model: nn.Module,
    small: nn.Module,
    example_inputs: ExampleInputs,
    tracer: Tracer,
    choice: Choice,
    notes: tuple[str, ...],
) -> ShrinkReport:
    """Both models, layer by layer."""
    macs, macs_kept = macs_of(model, example_inputs), macs_of(small, example_inputs)
    after = dict(small.named_modules())
    reasons = _reasons(tracer, choice)
    layers = []
    seen: set[int] = set()
    for name, module in model.named_modules():
        before, now = (_own(one, seen) for one in (module, after[name]))
        if before:
            seen.update(map(id, before))
            seen.update(map(id, now))
            layers.append(
                ShrunkLayer(
                    name, _channels(before), _channels(now), _count(before), _count(now), macs.get(name, 0),
                    macs_kept.get(name, 0), tuple(reasons.get(name, ())),
                )
            )  # fmt: skip
    return ShrinkReport(
        tuple(layers), _bytes(model), _bytes(small), sum(macs.values()), sum(macs_kept.values()), notes
    )  # fmt: skip


def _own(module: nn.Module, seen: set[int]) -> list[Tensor]:
    return [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in seen]


def _channels(parameters: list[Tensor]) -> int:
    largest = max(parameters, key=Tensor.numel)
    return len(largest) if largest.dim() else 1


def _count(parameters: list[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _bytes(model: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in [*model.parameters(), *model.buffers()])


def _reasons(tracer: Tracer, choice: Choice) -> dict[str, list[str]]:
    """For each layer, the number of channels that stay although no input comes through them, and the reasons."""
    flags, classes = choice.flags, choice.classes
    living = torch.zeros_like(flags.used)
    living[classes[flags.used & flags.moving]] = True
    constant = _constants(tracer, choice)
    pinned: dict[int, str] = {}
    for cells, reason in reversed(tracer.cells.pins):
        pinned.update(dict.fromkeys(classes[cells].tolist(), reason))
    pinned[int(classes[INPUT])] = "the input, or the output of an operation on all channels, that they are added to"
    even = {one for heads in tracer.attentions for cells in (heads.query, heads.rows)
            for one in classes[cells].view(-1).tolist()}  # fmt: skip
    found: dict[str, Counter[str]] = {}
    for node in tracer.cells.nodes:
        name = node.label.rpartition(".")[0] if isinstance(node, Weighted) else ""
        if not isinstance(node, Weighted) or name in found:
            continue
        counts = found.setdefault(name, Counter())
        for cell, one in zip(node.target.tolist(), classes[node.target].tolist(), strict=True):
            if bool(choice.removed[cell]) or bool(flags.used[cell] & flags.moving[cell]):
                continue
            if one in constant and not bool(living[one]):
                counts[f"pass on a constant, {constant[one]}"] += 1
            elif one in pinned:
                counts[f"stay because of {pinned[one]}"] += 1
            elif one in even:
                counts["stay so that all heads have the same number of channels"] += 1
            elif bool(living[one]):
                counts["stay because other channels that are tied to them stay"] += 1
            else:
                counts["stay so that the layer has a channel"] += 1
    notes = {name: [f"{count} {reason}" for reason, count in counts.items()] for name, counts in found.items()}
    for name, reason in tracer.whole.items():
        notes[name] = [*notes.get(name, []), f"stays whole, because {reason}"]
    for heads in {heads.name: heads for heads in tracer.attentions}.values():
        notes[heads.name] = [*notes.get(heads.name, []), *_of_heads(heads, choice, constant)]
    for held in tracer.held.values():
        if choice.reads_nothing(held):
            name = held.name.rpartition(".")[0]
            constant_behind = _constant_behind(tracer, choice, held.name)
            notes[name] = [f"no weight is left: {constant_behind or 'zero'} takes the place of its outputs"]
    return notes


def _constants(tracer: Tracer, choice: Choice) -> dict[int, str]:
    """The constants that classes of cells without input pass on, and the reasons why no other class replaces them."""
    flags, classes = choice.flags, choice.classes
    readers: dict[int, str] = {}
    uneven = torch.zeros_like(flags.fixed)
    uneven[classes[flags.used & ~flags.fixed]] = True
    for node in tracer.cells.nodes:
        if isinstance(node, Weighted) and not node.frozen:
            readers.update(dict.fromkeys(classes[node.source[node.read(flags.used)]].tolist(), node.label))
    found: dict[int, str] = {}
    for node in tracer.cells.nodes:
        if not isinstance(node, (Shift, Pointwise)) or not node.label:
            continue
        passed = flags.used[node.target] & ~flags.zero[node.target] & ~flags.moving[node.target]
        trained = node.trained if isinstance(node, Shift) else flags.zero[node.source]
        for one, changes in zip(classes[node.target[passed]].tolist(), trained[passed].tolist(), strict=True):
            if changes:
                why = "that is trained" if isinstance(node, Shift) else "that training changes"
            elif isinstance(node, Pointwise):
                continue
            elif one in readers:
                why = f"that is frozen, but {readers[one]}, which reads it, is trained"
            elif bool(uneven[one]):
                why = "that is frozen, but differs between places, or in training"
            else:
                why = "that is frozen, for all such channels"
            found.setdefault(one, f"{node.label}, {why}")
    return found


def _of_heads(heads: Heads, choice: Choice, constant: dict[int, str]) -> list[str]:
    """How many heads an attention has left, how wide they are, and what its values pass on that have no weights."""
    query, rows, value = (~choice.removed[cells] for cells in (heads.query, heads.rows, heads.value))
    if bool(query.all()) and bool(rows.all()):
        return []
    left = int(rows.any(1).sum())
    queries, values = (f"{int(kept.sum(1).max())} of {kept.shape[1]}" for kept in (query, rows))
    passed = heads.value[value & ~rows]
    labels = Counter(constant[one] for one in choice.classes[passed].tolist() if one in constant)
    return [
        f"{left} of {len(rows)} heads, with {queries} channels of queries and {values} of values",
        *(f"{count} values pass on a constant, {label}" for label, count in labels.items()),
    ]


def _constant_behind(tracer: Tracer, choice: Choice, label: str) -> str:
    """The bias, the layer's own or of BatchNorm behind it, that a layer without weights passes on; or nothing."""
    zero, reached = choice.flags.zero, torch.zeros_like(choice.flags.zero)
    for node in tracer.cells.nodes:
        if isinstance(node, Weighted) and node.label == label:
            reached[node.target] = True
        elif isinstance(node, (Pointwise, Shift)):
            reached[node.target] |= reached[node.source]
            if isinstance(node, Shift) and bool((reached & ~zero)[node.target].any()):
                return node.label
    return ""
