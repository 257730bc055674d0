"""Operations on tensor subclasses as on plain tensors, with a context manager from ``torch._C``."""

from torch import _C

#: inside it, operations do not call ``__torch_function__`` of subclasses; modes still see them
as_plain_tensors = _C.DisableTorchFunctionSubclass
