"""Function modes that exit without an error after an interrupt has removed them from torch's stack.

While a mode handles a call, torch's Python code removes it from the stack. An interrupt at that moment leaves the stack
one mode short. Exiting the mode would then raise a ``RuntimeError`` that hides the interrupt.
"""

from __future__ import annotations

from types import TracebackType

from torch.overrides import TorchFunctionMode


class FunctionMode(TorchFunctionMode):
    """A mode whose exit hides no error; :class:`~torch_synflow._torch.thread_state.ThreadState` restores the stack."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the mode from torch's stack, if there is one."""
        try:
            super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        except RuntimeError:
            if error is None:
                raise
