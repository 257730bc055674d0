"""The ways to prune that the figures of Frankle et al. 2021 show, and how each is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.sweep.choice import Choice
from benchmarks.sweep.methods import METHODS

#: the iteration that lottery tickets are rewound to (appendix A.3), over those of an epoch
REWIND = {
    "resnet20": 1000 / 391, "vgg16_bn": 2000 / 391, "torchvision_resnet18": 1000 / 391, "resnet18": 1000 / 391,
    "torchvision_resnet50": 6255 / 1251,
}  # fmt: skip
END = "end"


@dataclass(frozen=True)
class Way:
    """One way to prune that a figure shows.

    Attributes:
        label, colour, marker, dash: of its line.
        method: that prunes.
        settings: of its trials; a ``prune_epoch`` of ``END`` is the end of training.
        rewound: to the paper's iteration.
        fixed_variance: whether every weight starts with variance one.
    """

    label: str
    colour: str
    marker: str
    method: str
    dash: str = "-"
    settings: dict[str, Any] = field(default_factory=dict)
    rewound: bool = False
    fixed_variance: bool = False


def at_start(name: str) -> Way:
    """Pruning at initialisation by a method."""
    method = METHODS[name]
    return Way(method.title, method.colour, method.marker, name)


def after_training(name: str) -> Way:
    """Pruning a trained network by a method."""
    method = METHODS[name]
    return Way(f"{method.title} after training", method.colour, method.marker, name, "--", {"prune_epoch": END})


AFTER = Way("Magnitude after training", "#000000", "h", "magnitude", "--", {"prune_epoch": END})
TICKET = Way("Lottery ticket rewinding", "#44AA99", "p", "magnitude", "--", {"prune_epoch": END}, rewound=True)
#: Paul Tol's muted colours, for what is done to a pruned network
ABLATIONS = {
    "shuffle": ("shuffled", "#332288", "s", "--"),
    "reinitialise": ("reinitialised", "#882255", "D", ":"),
    "shuffle_neuron": ("shuffled in neurons", "#117733", "o", "--"),
    "shuffle_input": ("shuffled in inputs", "#88CCEE", "^", "--"),
    "shuffle_kernel": ("shuffled in kernels", "#CC6677", "P", "--"),
    "shuffle_effective": ("shuffled on paths", "#AA4499", "*", "-."),
    "invert": ("inverted", "#999933", "v", "-."),
}


def of(choice: Choice, ways: Sequence[Way]) -> list[Way]:
    """The ways that were chosen."""
    return [way for way in ways if choice.methods is None or way.method in choice.methods]


def compared(choice: Choice, ways: Sequence[Way]) -> list[Way]:
    """The ways that were chosen, and methods of other papers that were chosen by name.

    Those that were made for trained networks prune after training too, where magnitude does.
    """
    later = choice.chosen(())
    return [*of(choice, ways), *map(at_start, later), *(after_training(n) for n in trained(later) if AFTER in ways)]


def trained(names: Sequence[str]) -> list[str]:
    """Those methods of other papers that were made for trained networks."""
    return [name for name in names if METHODS[name].for_trained]


def ablated(way: Way, kinds: Sequence[str]) -> list[Way]:
    """A way, and the same with each of the ablations."""
    ways = [way]
    for kind in kinds:
        label, colour, marker, dash = ABLATIONS[kind]
        ways.append(Way(label, colour, marker, way.method, dash, {**way.settings, "ablation": kind}, way.rewound))
    return ways
