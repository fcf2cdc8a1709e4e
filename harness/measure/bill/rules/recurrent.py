"""Recurrent layers: each step multiplies the input and the state by a matrix of all gates.

Backward as autograd does it step by step: every matrix has its gradient; the state before a step has one too, save the
first where nobody wants a gradient for it. What a fused kernel computes beyond that is the kernel's affair.
"""

from collections import Counter
from math import prod
from typing import Any

from harness.measure.bill.rules.operands import FORWARD, INPUT, WEIGHT, constant, items, needs_gradient, shape
from harness.record.errors import UncountedOperator


def layers(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """aten::lstm, gru, rnn_tanh, rnn_relu on (T, N, I) or (N, T, I); weights lie by layer, then by direction.

    Raises UncountedOperator for a packed sequence.
    """
    features, state, weights = inputs[:3]
    if isinstance(constant(inputs[3]), list):
        raise UncountedOperator("a recurrent layer of packed sequences: its cost depends on their lengths; pad them")
    biases, number, batch_first = constant(inputs[3]), constant(inputs[4]), constant(inputs[8])
    directions = 2 if constant(inputs[7]) else 1
    length = shape(features)[1 if batch_first else 0]
    matrices = items(weights)
    each = len(matrices) // (number * directions)
    starts = items(state) if not state.isCompleteTensor() else [state]
    first_needed = any(map(needs_gradient, starts))
    macs: Counter[str] = Counter()
    upstream = needs_gradient(features)
    for layer in range(number):
        below = upstream
        for direction in range(directions):
            at = (layer * directions + direction) * each
            own = matrices[at : at + each]
            passes = below or first_needed or any(map(needs_gradient, own))
            steps_back = length if first_needed else length - 1
            input_weight, state_weight, *more = own
            projection = more[2 if biases else 0 :]
            positions = prod(shape(features)[:-1])
            macs += _one(input_weight, positions, positions * below)
            macs += _one(state_weight, positions, positions // length * steps_back * passes)
            for matrix in projection:
                macs += _one(matrix, positions, positions * passes)
            upstream = upstream or passes
    return macs


def cell(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """aten::lstm_cell, gru_cell and the plain ones: one step of (N, I)."""
    features, state, input_weight, state_weight = inputs[:4]
    start = state if state.isCompleteTensor() else items(state)[0]
    images = prod(shape(features)[:-1])
    macs = _one(input_weight, images, images * needs_gradient(features))
    return macs + _one(state_weight, images, images * needs_gradient(start))


def _one(weight: Any, positions: int, gradient_positions: int) -> "Counter[str]":
    """A matrix used at so many positions, at some of which its input has a gradient."""
    elements = prod(shape(weight))
    return Counter(
        {
            f"{FORWARD} recurrent": positions * elements,
            f"{WEIGHT} recurrent": positions * elements * needs_gradient(weight),
            f"{INPUT} recurrent": gradient_positions * elements,
        }
    )
