"""Function modes that are left quietly where an interrupt has taken them off torch's stack.

While a mode handles a call, Python code of torch has taken it off the stack. An interrupt that arrives there leaves the
stack one mode short, and leaving the mode then fails with a ``RuntimeError`` that would hide the interrupt.
"""

from __future__ import annotations

from types import TracebackType

from torch.overrides import TorchFunctionMode


class FunctionMode(TorchFunctionMode):
    """A mode whose exit hides no error; :class:`~torch_synflow._torch.thread_state.ThreadState` puts the stack back."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the mode off torch's stack, where one is on it."""
        try:
            super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        except RuntimeError:
            if error is None:
                raise
