"""Base classes of torch's layers with private names, and one class that only torch itself uses."""

from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.conv import _ConvTransposeNd as TransposedConvolution
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear as AttentionOutput

__all__ = ["AttentionOutput", "BatchNorm", "Convolution", "TransposedConvolution"]
