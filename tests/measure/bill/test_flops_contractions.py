"""Products in their rarer spellings: worked out by hand, and held against torch's own counter under a whole step."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.measure.bill.count import bill
from harness.record.errors import UncountedOperator
from tests.measure.bill.dispatched import step
from tests.measure.bill.test_flops_operators import STEM, Apply, after_stem, line

TOKENS, WIDTH = 8, 36  # what the stem leaves of a 6 x 6 image


def on_tokens(function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> nn.Sequential:
    """`function` of (N, 8, 36) features and of weights of these shapes, behind the stem."""
    return after_stem(nn.Flatten(2), Apply(function, *shapes))


@dataclass(frozen=True)
class Product:
    """A function of features and weights of these shapes, and its forward MACs by hand."""

    function: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    forward: int


PRODUCTS = {
    "einsum, a broadcast operand second": Product(
        lambda x, w: torch.einsum("ecd,enc->end", w, x[:1].transpose(1, 2)), ((4, 8, 16),), 4 * 8 * 16 * WIDTH
    ),
    "einsum, a broadcast operand first": Product(
        lambda x, w: torch.einsum("enc,ecd->end", x[:1].transpose(1, 2), w), ((4, 8, 16),), 4 * 8 * 16 * WIDTH
    ),
    "einsum, nothing summed": Product(lambda x, w: torch.einsum("ntf,t->ntf", x, w), ((8,),), 0),
    "einsum, an outer product": Product(lambda x, w: torch.einsum("ntf,k->ntfk", x, w), ((5,),), 0),
    "einsum, a diagonal": Product(lambda x, w: torch.einsum("ntf,tt->ntf", x, w), ((8, 8),), 0),
    "einsum with ellipsis": Product(lambda x: torch.einsum("...if,...jf->...ij", x, x), (), 8 * 8 * WIDTH),
    "einsum, ellipsis in one": Product(lambda x, w: torch.einsum("...f,fk->...k", x, w), ((36, 5),), 8 * WIDTH * 5),
    "einsum without arrow": Product(lambda x, w: torch.einsum("ntf,fk", x, w), ((36, 5),), 8 * WIDTH * 5),
    "einsum, one letter summed before": Product(lambda x, w: torch.einsum("ntf,tk->nf", x, w), ((8, 5),), 8 * WIDTH),
    "tensordot over two": Product(lambda x, w: torch.tensordot(x, w, ([1, 2], [0, 1])), ((8, 36, 5),), 8 * WIDTH * 5),
    "tensordot over one": Product(lambda x, w: torch.tensordot(x, w, 1), ((36, 5),), 8 * WIDTH * 5),
    "inner": Product(torch.inner, ((5, 36),), 8 * WIDTH * 5),
    "outer": Product(lambda x, w: torch.outer(x.flatten(), w), ((5,),), 0),
    "addbmm": Product(lambda x: torch.addbmm(x[0, :8, :8], x, x.mT), (), 8 * WIDTH * 8),
    "addmm in place": Product(lambda x: (x[0] @ x[0].t()).addmm_(x[0], x[0].t()), (), 2 * 8 * WIDTH * 8),
    "baddbmm in place": Product(lambda x: (x @ x.mT).baddbmm_(x, x.mT), (), 2 * 8 * WIDTH * 8),
    # (8 x 36)(36 x 5)(5 x 20)(20 x 3): from the right, 5 * 20 * 3 first, then 36 * 5 * 3 or 8 * 36 * 5 and 8 * 5 * 3
    "a chain of four": Product(
        lambda x, *w: torch.linalg.multi_dot([x[0], *w]), ((36, 5), (5, 20), (20, 3)), 300 + 36 * 5 * 3 + 8 * 36 * 3
    ),
    "a chain that begins with a vector": Product(
        lambda x, *w: torch.linalg.multi_dot([x[0, 0], *w]), ((36, 5), (5,)), 36 * 5 + 5
    ),
    "LSTM cell": Product(
        lambda x, w, v: torch.lstm_cell(x[:, 0], (x[:, 0, :4], x[:, 0, :4]), w, v)[0],
        ((16, 36), (16, 4)),
        16 * (WIDTH + 4),
    ),
}


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS.keys())
def test_by_hand_and_by_torchs_own_counter(product: Product) -> None:
    network = on_tokens(product.function, *product.shapes)
    found = bill(network, resolution=6)
    assert line(found)[0] == STEM + product.forward
    second = step(network.to("meta"), torch.empty(1, 3, 6, 6, device="meta"))
    assert (line(found)[0], sum(line(found)[1:])) == (second.forward, second.backward)
    assert found.evaluation_macs + found.once_evaluation_macs == second.evaluation


@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(WIDTH, 4, batch_first=True),
        nn.LSTM(WIDTH, 4, num_layers=2, bidirectional=True),
        nn.LSTM(WIDTH, 4, num_layers=2, proj_size=3, bias=False),
        nn.GRU(WIDTH, 4, num_layers=2, bidirectional=True, batch_first=True),
        nn.RNN(WIDTH, 4),
    ],
    ids=["lstm", "lstm both ways", "lstm projected", "gru both ways", "rnn"],
)
def test_recurrent_layers(layer: nn.RNNBase) -> None:
    network = after_stem(nn.Flatten(2), layer)
    found = bill(network, resolution=6)
    second = step(network.to("meta"), torch.empty(1, 3, 6, 6, device="meta"))
    assert (found.forward_macs, found.backward_macs) == (second.forward, second.backward)


def test_an_lstm_by_hand() -> None:
    """8 steps of 36 features into 4 x 4 gates, and of 4 states; the first state, zeros, has no gradient."""
    found = bill(after_stem(nn.Flatten(2), nn.LSTM(WIDTH, 4, batch_first=True)), resolution=6)
    inputs, states = 8 * WIDTH * 16, 8 * 4 * 16
    assert found.forward_macs == STEM + inputs + states
    assert found.weight_gradient_macs == STEM + inputs + states
    assert found.input_gradient_macs == inputs + states * 7 // 8


def test_packed_sequences_are_refused() -> None:
    def packed(x: Tensor) -> Tensor:
        return nn.LSTM(WIDTH, 4)(nn.utils.rnn.pack_padded_sequence(x, torch.tensor([1] * len(x)), True))[0].data

    with pytest.raises(UncountedOperator, match="packed"):
        bill(on_tokens(packed), resolution=6)


def test_a_linear_layer_with_a_weight_of_one_dimension() -> None:
    """8 tokens of 36 features to one number each: 8 * 36."""
    found = bill(on_tokens(functional.linear, (36,)), resolution=6)
    assert (found.forward_macs, found.weight_gradient_macs) == (STEM + 288, STEM + 288)


def test_the_bilinear_form_is_its_two_products() -> None:
    """x W, 8 * 36 * 5 * 36, then that with y, 8 * 5 * 36: the same as written in two."""
    at_once = bill(on_tokens(lambda x, w: functional.bilinear(x, x, w), (5, 36, 36)), resolution=6)
    assert at_once.forward_macs == STEM + 8 * 36 * 5 * 36 + 8 * 5 * 36

    def in_two(x: Tensor, w: Tensor) -> Tensor:
        return torch.einsum("ntoj,ntj->nto", torch.einsum("nti,oij->ntoj", x, w), x)

    written_out = bill(on_tokens(in_two, (5, 36, 36)), resolution=6)
    assert at_once.spent_macs == written_out.spent_macs


def test_a_complex_mac_is_four_real_ones() -> None:
    def product(x: Tensor, w: Tensor) -> Tensor:
        return torch.view_as_real(torch.complex(x, x) @ torch.view_as_complex(w))

    real = bill(on_tokens(torch.matmul, (36, 5)), resolution=6)
    found = bill(on_tokens(product, (36, 5, 2)), resolution=6)
    assert found.forward_macs - STEM == 4 * (real.forward_macs - STEM) == 4 * 8 * 36 * 5
    assert found.input_gradient_macs == 4 * real.input_gradient_macs


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x / torch.linalg.vector_norm(x, dim=-1, keepdim=True),
        lambda x: functional.normalize(x, dim=-1),
        functional.glu,
        lambda x: x.sign(),
        lambda x: functional.one_hot(x.argmax(-1), 36) * x,
        lambda x: functional.unfold(x.unsqueeze(1), 3),
        lambda x: functional.interpolate(x.unsqueeze(1), scale_factor=2, mode="bilinear"),
        lambda x: functional.interpolate(x.unsqueeze(1), scale_factor=2, mode="bicubic"),
        lambda x: torch.unsafe_chunk(x, 2, 1)[0],
        lambda x: torch.zeros_like(x).index_add(1, torch.arange(8), x),
        lambda x: x.cumsum(1).sin().sort(1)[0].tile(1, 2).topk(3).values,
    ],
)
def test_what_is_no_product_has_no_macs(function: Callable[[Tensor], Tensor]) -> None:
    found = bill(on_tokens(function), resolution=6)
    assert (found.forward_macs, found.weight_gradient_macs, found.input_gradient_macs) == (STEM, STEM, 0)


def test_a_weight_that_is_normalised() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 5))
    found = bill(after_stem(nn.Flatten(2), layer), resolution=6)
    assert found.forward_macs == STEM + 8 * WIDTH * 5
    old = bill(after_stem(nn.Flatten(2), nn.utils.weight_norm(nn.Linear(WIDTH, 5))), resolution=6)
    assert (old.forward_macs, old.backward_macs) == (found.forward_macs, found.backward_macs)


def test_an_einsum_of_three_is_refused_with_the_remedy() -> None:
    with pytest.raises(UncountedOperator, match="write it in pairs"):
        bill(on_tokens(lambda x, w, v: torch.einsum("ntf,fk,kl->ntl", x, w, v), (36, 5), (5, 4)), resolution=6)
