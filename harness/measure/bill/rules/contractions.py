"""Products written as contractions: einsum, tensordot, a chain of matrices, the bilinear form.

One rule decides what is a product: a letter (an index, a dimension) is summed over both operands. Where none is, as in
the outer product or in `nchw,c->nchw`, every output is one multiplication: elementwise, no MAC.
"""

from collections import Counter
from math import prod
from typing import Any

from harness.measure.bill.rules.operands import (
    ELEMENTWISE_LINE,
    FORWARD,
    INPUT,
    WEIGHT,
    constant,
    items,
    lines,
    needs_gradient,
    real_macs,
    shape,
)
from harness.record.errors import UncountedOperator


def einsum(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Two operands: the product of the sizes of all letters that the product runs over.

    A letter of size 1 beside a larger one is broadcast, whatever the operands' order. A letter of one operand alone
    that the output lacks is summed away before the product. Raises UncountedOperator for more operands.
    """
    equation = str(inputs[0].toIValue()).replace(" ", "")
    operands = items(inputs[1])
    if len(operands) > 2:
        raise UncountedOperator(f"einsum {equation}: its cost depends on the order of its products; write it in pairs")
    left, arrow, right = equation.partition("->")
    terms = [_sizes(term, shape(operand)) for term, operand in zip(left.split(","), operands, strict=True)]
    every = set().union(*terms)
    kept = {letter for letter in every if letter in right or (letter[0] == "." and "..." in right)}
    if not arrow:  # the letters that stand once, and the ellipsis
        kept = {letter for letter in every if letter[0] == "." or left.count(letter) == 1}
    summed = set.intersection(*map(set, terms)) - kept if len(terms) == 2 else set()
    if not summed:
        return _elementwise("einsum", outputs)
    output = prod(max(term.get(letter, 1) for term in terms) for letter in kept)
    inner = prod(min(term[letter] for term in terms) for letter in summed)  # 1 beside n: the n are summed first
    return lines("matmul", output * inner, inputs=tuple(operands))


def _sizes(term: str, sizes: list[int]) -> dict[str, int]:
    """Letter -> size. The dimensions of an ellipsis are .1, .2, ... from the right."""
    before, dots, after = term.partition("...")
    hidden = len(sizes) - len(before) - len(after) if dots else 0
    letters = [*before, *(f".{number}" for number in range(hidden, 0, -1)), *after]
    return dict(zip(letters, sizes, strict=True))


def tensordot(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Elements of the result x those of the dimensions summed over."""
    summed = [shape(inputs[0])[dimension] for dimension in constant(inputs[2])]
    if not summed:
        return _elementwise("tensordot", outputs)
    return lines("matmul", prod(shape(outputs[0])) * prod(summed), inputs=(inputs[0], inputs[1]))


def chain(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """torch.linalg.multi_dot: the cheapest order of the products, which is the one it takes."""
    operands = items(inputs[0])
    first_shape, *shapes = map(shape, operands)
    # the first may be a row, the last a column; sides[k] and sides[k + 1] are those of operand k
    sides = [*([1, *first_shape][-2:]), *((*each, 1)[1] for each in shapes)]

    def cheapest(first: int, last: int) -> tuple[int, int]:
        """Forward MACs of the operands first..last, and those of the gradients."""
        if first == last:
            return 0, 0
        options = []
        for split in range(first, last):
            here = sides[first] * sides[split + 1] * sides[last + 1]
            gradients = here * (needed(first, split) + needed(split + 1, last))
            left, right = cheapest(first, split), cheapest(split + 1, last)
            options.append((here + left[0] + right[0], gradients + left[1] + right[1]))
        return min(options, key=lambda option: option[0])

    def needed(first: int, last: int) -> bool:
        return any(map(needs_gradient, operands[first : last + 1]))

    forward, backward = (real_macs(macs, tuple(operands)) for macs in cheapest(0, len(operands) - 1))
    return Counter({f"{FORWARD} matmul": forward, f"{INPUT} matmul": backward})


def bilinear(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """x (..., I), y (..., J), weight (O, I, J): the product x W, of I x O x J, then that with y, of O x J an image."""
    x, y, weight = inputs[:3]
    results = prod(shape(outputs[0]))
    second = results * shape(y)[-1]
    first = second * shape(x)[-1]
    through = needs_gradient(x) or needs_gradient(weight)
    return Counter(
        {
            f"{FORWARD} matmul": first + second,
            f"{WEIGHT} matmul": first * needs_gradient(weight),
            f"{INPUT} matmul": first * needs_gradient(x) + second * (through + needs_gradient(y)),
        }
    )


def _elementwise(name: str, outputs: list[Any]) -> "Counter[str]":
    return Counter({f"{ELEMENTWISE_LINE} {name}": prod(shape(outputs[0]))})
