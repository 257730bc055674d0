r"""The synaptic-flow surrogate of a network: any model as one of positive weights and homogeneous operations.

SynFlow's guarantee is that a score counts what flows through a weight, and that as much flows through every
layer. That holds for linear layers and ReLUs. Here the forward pass of any other model is read, operation by
operation, as its positively homogeneous counterpart:

* linear layers, convolutions, pooling, sums, reshapes, ReLU, affine BatchNorm: as they are;
* other activations: ReLU, the identity on a positive flow;
* LayerNorm, GroupNorm, InstanceNorm, RMSNorm: scaled by ``|gamma|`` and one over the root mean square, which is
  a constant; not centred;
* gates (squeeze-and-excitation) and attention: divided by their own value or row sum, which is a constant. The
  main flow that a gate reads enters it as a constant, so it is counted once, and the gate's own weights carry
  the flow of what they gate;
* embeddings: ones, as what is embedded is the network's input.

:func:`register` adds a surrogate for an operation of one's own.
"""

from torch_synflow.flow.surrogate.register import register

__all__ = ["register"]


def __dir__() -> list[str]:
    return sorted(__all__)
