r"""The homogeneous surrogate of a network: any model as positive weights and homogeneous operations.

SynFlow guarantees that a score measures the flow through a weight, and that the same flow passes through every layer.
This holds for linear layers and ReLUs. For any other model, each operation of the forward pass is replaced by its
positively homogeneous surrogate:

* linear layers, convolutions, pooling, sums, reshapes, ReLU and affine BatchNorm run unchanged;
* other activations become ReLU, the identity on a positive flow;
* LayerNorm, GroupNorm, InstanceNorm and RMSNorm scale by ``|gamma|`` and one over the root mean square, which is a
  constant, and do not centre;
* gates (squeeze-and-excitation) and attention are divided by their own value or row sum, which is a constant. The main
  flow enters a gate as a constant, so it counts once, and the gate's own weights carry the flow that they gate;
* embeddings become ones, because embedded values are the network's input; learned positions become zero, and tokens
  become a flow that is negligible compared with that of the input.

:func:`register` adds a surrogate for your own operation.
"""

from torch_synflow.flow.surrogate.register import register

__all__ = ["register"]


def __dir__() -> list[str]:
    return sorted(__all__)
