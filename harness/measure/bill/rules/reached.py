"""Which values of a traced graph the backward pass comes to."""

from typing import Any

from harness.measure.bill.rules.operands import needs_gradient

# Recorded below autograd: the flag of their output is wrong (Products in count.py).
_UNFLAGGED = ("aten::_convolution",)


class Reached:
    """Whether the backward pass, which starts at the outputs, comes to a value of the graph."""

    def __init__(self) -> None:
        self._values: set[int] | None = None

    def __call__(self, value: Any) -> bool:
        if self._values is None:
            self._values = set()
            for node in reversed(list(value.node().owningBlock().nodes())):
                if node.kind() == "prim::Constant":  # most of the nodes, and no gradient ends there
                    continue
                self._values.update(out.unique() for out in node.outputs() if self._continues(out))
        return value.unique() in self._values

    def _continues(self, value: Any) -> bool:
        assert self._values is not None
        carries = needs_gradient(value) or not value.isCompleteTensor()  # a list or a tuple has no flag
        for use in value.uses():
            user = use.user
            if user.kind() == "prim::Return" and carries:
                return True
            for out in user.outputs():
                tensor_flagged = needs_gradient(out) or user.kind() in _UNFLAGGED
                flagged = tensor_flagged if out.isCompleteTensor() else carries
                # A write into a slice is used by nobody in the graph; what was written into is.
                written = user.kind().endswith("_") and not out.uses()
                if flagged and (written or out.unique() in self._values):
                    return True
        return False
