"""Operations on tensor subclasses as on plain tensors, by a context manager that lies in ``torch._C``."""

from torch import _C

#: within it operations do not call ``__torch_function__`` of subclasses; modes see them still
as_plain_tensors = _C.DisableTorchFunctionSubclass
