"""Scores of weights from the flows into and out of the layers that use them, computed one part at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from torch_synflow.flow.engine.layers import RecordedLayer, parts_of
from torch_synflow.selection.stream import ScoreStream

#: the number of factors that are looked up at a time
_LOOKED_UP = 1 << 22


@dataclass
class Use:
    """One use of a weight by a layer, with the flows into and out of it.

    Attributes:
        layer: the layer.
        at_output: the gradient at its output.
        seen: its input, as the layer prepared it.
        greatest: the greatest elements of the gradient and of the input, if known.
    """

    layer: RecordedLayer
    at_output: Tensor
    seen: Tensor
    greatest: tuple[float, float] = (math.inf, math.inf)


@dataclass
class Measured:
    """One weight, or a block of it, and the parts of its gradient.

    Attributes:
        weight: the weight, whose type may be narrower than that of the flows.
        greatest: an upper bound of its elements.
        uses: its uses by layers.
        gradient: its gradient, if layers are not its only users.
    """

    weight: Tensor
    greatest: float
    uses: list[Use] = field(default_factory=list)
    gradient: Tensor | None = None

    def __post_init__(self) -> None:
        if self.gradient is None and not all(use.layer.in_rows for use in self.uses):
            weight = self.weight.to(self.uses[0].seen.dtype)
            self.gradient = sum(use.layer.gradient(use.seen, use.at_output, weight) for use in self.uses)  # type: ignore[assignment]

    def at(self, places: Tensor) -> Tensor:
        """``dR/dw * w`` at flat indices."""
        weight = self.weight.view(-1).index_select(0, places)
        if self.gradient is not None:
            return self.gradient.reshape(-1).index_select(0, places).mul_(weight)
        row = math.prod(self.weight.shape[1:])
        total = torch.zeros_like(weight, dtype=self.uses[0].seen.dtype if self.uses else None)
        for use in self.uses:
            positions = len(use.seen)
            step = max(1, _LOOKED_UP // max(1, positions))
            for start in range(0, len(places), step):
                here = places[start : start + step]
                total[start : start + step] += torch.linalg.vecdot(
                    use.at_output.gather(1, (here // row).expand(positions, -1)),
                    use.seen.gather(1, (here % row).expand(positions, -1)),
                    dim=0,
                )
        return total.mul_(weight)

    def parts(self, *, exact: bool) -> Iterator[tuple[Tensor, float]]:
        """``dR/dw * w`` in order, and the unit by which the scores must be multiplied.

        Args:
            exact: whether to compute in the type of the flows, or in that of the weight.
        """
        by_uses = self.gradient is None and bool(self.uses)
        rows = self.weight.flatten(1) if by_uses else self.weight.view(-1, 1)  # of any number of dimensions
        unit, factors = 1.0, [(use.at_output, use.seen) for use in self.uses]
        if by_uses and not exact:
            unit, factors = self._unit(), []
            for use in self.uses:  # powers of two scale the greatest to one, so no sum leaves the range
                scale = _power_of_two(use.greatest[1])
                factors.append(((use.at_output * (scale / unit)).to(rows.dtype), (use.seen / scale).to(rows.dtype)))
        gradient = self.gradient.reshape(rows.shape) if self.gradient is not None else None
        dtype = gradient.dtype if gradient is not None else factors[0][0].dtype if factors else rows.dtype
        buffer = None
        for start, weight in parts_of(rows):
            buffer = torch.empty_like(weight, dtype=dtype) if buffer is None else buffer
            part = buffer[: len(weight)]
            if gradient is not None:
                part.copy_(weight).mul_(gradient[start : start + len(weight)])
            else:
                for number, (at_output, seen) in enumerate(factors):
                    transposed = at_output[:, start : start + len(weight)].T
                    torch.mm(transposed, seen, out=part) if not number else part.addmm_(transposed, seen)
                part.mul_(weight) if factors else part.zero_()
            yield part.view(-1), unit

    def error(self) -> tuple[float, float]:
        """The relative error of inexact parts, and the score below which it does not hold.

        It holds for sums of nonnegative products, with twice the unit of rounding per operation, and twice the smallest
        normal number per operation that may underflow. It is infinite if the type of the weight is too narrow.
        """
        if self.gradient is not None or not self.uses:
            return 0.0, 0.0
        narrow, unit = torch.finfo(self.weight.dtype), self._unit()
        terms, greatest = sum(len(use.seen) for use in self.uses), max(1.0, self.greatest)
        if not (1e-200 < unit < 1e200 and 4 * terms * greatest < narrow.max):
            return math.inf, math.inf
        return (terms + 8) * narrow.eps, 8 * terms * narrow.tiny / narrow.eps * greatest * unit

    def _unit(self) -> float:
        """A power of two at the greatest product of flows."""
        return max(
            _power_of_two(at_output) * _power_of_two(seen) for at_output, seen in (u.greatest for u in self.uses)
        )


class FlowScores(ScoreStream):
    """Scores that are computed one part at a time from the flows into and out of layers.

    Args:
        measured: the weights and their flows.
        narrow: whether parts may first be computed in the types of the weights, because no term of a score is negative.
    """

    def __init__(self, measured: Sequence[Measured], *, narrow: bool) -> None:
        super().__init__([one.weight for one in measured])
        self._measured = measured
        errors = [one.error() for one in measured] if narrow else [(math.inf, math.inf)]
        error, floor = (max(column) for column in zip(*errors, strict=True))
        self._narrow = math.isfinite(error)
        if self._narrow:
            self.error, self.floor = error, floor

    def at(self, places: Tensor) -> Tensor:
        """The scores at ascending places."""
        return torch.cat([self._measured[number].at(here) for number, here in self.by_tensor(places)])

    def parts(self, tensors: range) -> Iterator[tuple[Tensor, float]]:
        """All scores of consecutive tensors in order."""
        for number in tensors:
            yield from self._measured[number].parts(exact=not self._narrow)

    def exactly(self) -> None:
        """Compute parts as exactly as single scores."""
        super().exactly()
        self._narrow = False


def _power_of_two(value: float) -> float:
    """The greatest power of two that does not exceed a positive number; one for zero."""
    return math.ldexp(1.0, math.frexp(value)[1] - 1) if 0 < value < math.inf else 1.0
