"""What the rules read off a traced operator: shapes, flags, lists; and the lines of the bill that they fill."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from fvcore.nn.jit_handles import get_shape

from harness.record.errors import UncountedOperator

Handle = Callable[[list[Any], list[Any]], "Counter[str]"]
FORWARD, WEIGHT, INPUT, ELEMENTWISE_LINE = "forward", "weight", "input", "elementwise"

COMPLEX_MACS = 4
"""Real multiply-accumulates in a complex one: (a + bi)(c + di) has four products, and every one is accumulated."""


def shape(value: Any) -> list[int]:
    """Sizes of a tensor of the graph; raises UncountedOperator where the tracer lost them."""
    sizes = get_shape(value)
    if sizes is None:
        raise UncountedOperator(f"the tracer lost the shape of an operand of {value.node().kind()}")
    return list(sizes)


def items(value: Any) -> list[Any]:
    """The values that a list of the graph was built from."""
    return list(value.node().inputs())


def constant(value: Any) -> Any:
    """A constant of the graph in Python, a list of them too."""
    return (
        [constant(item) for item in items(value)] if value.node().kind() == "prim::ListConstruct" else value.toIValue()
    )


def needs_gradient(value: Any) -> bool:
    """Whether autograd wants a gradient for this operand (None and non-tensor operands: no)."""
    return bool(value.isCompleteTensor() and value.type().requires_grad())


def real_macs(macs: int, operands: tuple[Any, ...]) -> int:
    """`macs` of these operands in real multiply-accumulates."""
    is_complex = any(
        str(value.type().scalarType()).startswith("Complex") for value in operands if value.isCompleteTensor()
    )
    return COMPLEX_MACS * macs if is_complex else macs


def lines(name: str, macs: int, *, weights: tuple[Any, ...] = (), inputs: tuple[Any, ...] = ()) -> "Counter[str]":
    """`macs` forward, and once more per operand that needs a gradient: weights on one line, features on the other."""
    macs = real_macs(macs, weights + inputs)
    return Counter(
        {
            f"{FORWARD} {name}": macs,
            f"{WEIGHT} {name}": macs * sum(needs_gradient(value) for value in weights),
            f"{INPUT} {name}": macs * sum(needs_gradient(value) for value in inputs),
        }
    )
