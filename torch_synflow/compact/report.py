"""The savings of shrinking, layer by layer, and the channels that stay although they carry little or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch_synflow._drawing import bar_positions
from torch_synflow._reporting import Report, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ShrunkLayer:
    """One layer before and after.

    Attributes:
        name: the name of its module.
        channels: output channels before.
        channels_kept: output channels after.
        parameters: elements of its own parameters before.
        parameters_kept: the same after.
        macs: multiply-accumulate operations for the example inputs before.
        macs_kept: the same after.
        notes: the numbers of channels that stay although no input comes through them, and the reasons.
    """

    name: str
    channels: int
    channels_kept: int
    parameters: int
    parameters_kept: int
    macs: int
    macs_kept: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class ShrinkReport(Report):
    """The result of :func:`~torch_synflow.prune.shrink`; prints as a table.

    ``draw`` shows the channels of each layer before and after.

    Attributes:
        layers: one per module with its own parameters.
        bytes: the bytes of all parameters and buffers before, including masks.
        bytes_kept: the same after.
        macs: multiply-accumulate operations of all layers for the example inputs before.
        macs_kept: the same after.
        notes: modules whose code does not allow removing channels.

    Example:
        >>> layer = ShrunkLayer("fc", 8, 2, 80, 20, 640, 160, ("1 passes on fc.bias",))
        >>> report = ShrinkReport((layer,), 320, 80, 640, 160)
        >>> report.parameters_kept
        20
        >>> print(report)
        20 of 80 parameters (0.250), 80 of 320 bytes (0.250), 160 of 640 MACs (0.250)
        layer  channels  kept  parameters  kept  MACs  kept
        fc            8     2          80    20   640   160  1 passes on fc.bias
    """

    layers: tuple[ShrunkLayer, ...]
    bytes: int
    bytes_kept: int
    macs: int
    macs_kept: int
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """The number of elements of all parameters before."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def parameters_kept(self) -> int:
        """After."""
        return sum(layer.parameters_kept for layer in self.layers)

    @property
    def verdict(self) -> str:
        """The share of parameters, bytes and multiply-adds that is left, in one line."""
        sums = {
            "parameters": (self.parameters_kept, self.parameters),
            "bytes": (self.bytes_kept, self.bytes),
            "MACs": (self.macs_kept, self.macs),
        }
        return ", ".join(f"{a:,} of {b:,} {name} ({a / max(b, 1):.3f})" for name, (a, b) in sums.items())

    def _table(self) -> Table:
        """One line per layer."""
        rows = []
        for layer in self.layers:
            numbers = (
                layer.channels, layer.channels_kept, layer.parameters, layer.parameters_kept, layer.macs,
                layer.macs_kept,
            )  # fmt: skip
            rows.append([layer.name, *(f"{number:,}" for number in numbers), "; ".join(layer.notes)])
        return ["layer", "channels", "kept", "parameters", "kept", "MACs", "kept", ""], rows

    def _notes(self) -> Sequence[str]:
        return self.notes

    def _draw(self, ax: Axes) -> None:
        places = bar_positions(ax, [layer.name for layer in self.layers])
        ax.bar(places, [layer.channels for layer in self.layers], color="0.8", label="before")
        ax.bar(places, [layer.channels_kept for layer in self.layers], width=0.5, label="kept")
        ax.set_ylabel("channels")
        ax.legend()
