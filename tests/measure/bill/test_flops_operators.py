"""One value per operator type, worked out by hand from the shapes in the test itself."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import ops

from harness.measure.bill.count import Bill, bill
from harness.record.errors import HarnessError, UncountedOperator


def line(found: Bill) -> tuple[int, int, int]:
    """A batch of one: forward, weight gradients, input gradients."""
    return (
        found.forward_macs + found.once_forward_macs,
        found.weight_gradient_macs + found.once_weight_gradient_macs,
        found.input_gradient_macs + found.once_input_gradient_macs,
    )


class Apply(nn.Module):
    """A function of the image and of weights of the given shapes."""

    def __init__(self, function: Callable[..., torch.Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)

    def forward(self, image: Tensor) -> Tensor:
        return self.function(image, *self.weights)


def after_stem(*layers: nn.Module) -> nn.Sequential:
    """A 1x1 stem of 3 -> 8 channels first, so that what follows has an input that needs a gradient."""
    return nn.Sequential(nn.Conv2d(3, 8, 1), *layers)


# the stem on a 6 x 6 image: 8 outputs x 3 inputs x 36 positions, forward and weight gradient, no input gradient
STEM = 8 * 3 * 36


def test_convolution() -> None:
    # 5 filters of 3 x 3 x 3 at 4 x 4 positions of a 6 x 6 image: 5 * 27 * 16 = 2160; the image needs no gradient
    assert line(bill(nn.Conv2d(3, 5, 3), resolution=6)) == (2160, 2160, 0)


def test_convolution_inside() -> None:
    # 4 filters of 8 x 3 x 3, stride 2 with padding 1: 3 x 3 positions: 4 * 72 * 9 = 2592, twice backward
    found = bill(after_stem(nn.Conv2d(8, 4, 3, stride=2, padding=1)), resolution=6)
    assert line(found) == (STEM + 2592, STEM + 2592, 2592)


def test_grouped_convolution() -> None:
    # 2 groups: each of 4 filters sees 4 of 8 channels: 4 * (4 * 9) * 16 = 2304, also per gradient
    found = bill(after_stem(nn.Conv2d(8, 4, 3, groups=2)), resolution=6)
    assert line(found) == (STEM + 2304, STEM + 2304, 2304)


def test_depthwise_convolution() -> None:
    # each of 8 filters sees one channel: 8 * 9 * 16 = 1152, also per gradient
    found = bill(after_stem(nn.Conv2d(8, 8, 3, groups=8)), resolution=6)
    assert line(found) == (STEM + 1152, STEM + 1152, 1152)


def test_dilated_convolution() -> None:
    # dilation 2 spreads 3 taps over 5: 2 x 2 positions: 4 * 72 * 4 = 1152
    assert bill(after_stem(nn.Conv2d(8, 4, 3, dilation=2)), resolution=6).forward_macs == STEM + 1152


def test_string_padding() -> None:
    # "same" keeps 6 x 6 positions: 4 * 72 * 36 = 10368; "valid" is no padding: 4 * 72 * 16 = 4608
    found = bill(after_stem(nn.Conv2d(8, 4, 3, padding="same")), resolution=6)
    assert line(found) == (STEM + 10368, STEM + 10368, 10368)
    assert bill(after_stem(nn.Conv2d(8, 4, 3, padding="valid")), resolution=6).forward_macs == STEM + 4608


def test_transposed_convolution() -> None:
    # each of 36 input positions of 8 channels meets 4 filters of 2 x 2: 36 * 8 * 4 * 4 = 4608
    found = bill(after_stem(nn.ConvTranspose2d(8, 4, 2, stride=2)), resolution=6)
    assert line(found) == (STEM + 4608, STEM + 4608, 4608)


def test_grouped_transposed_convolution() -> None:
    # 2 groups: each input channel meets 2 of the 4 filters: 36 * 8 * 2 * 4 = 2304
    found = bill(after_stem(nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2)), resolution=6)
    assert line(found) == (STEM + 2304, STEM + 2304, 2304)


def test_convolution_over_a_sequence() -> None:
    # 36 positions in a row, 5 filters of 8 x 3, no padding: 5 * 24 * 34 = 4080
    found = bill(after_stem(nn.Flatten(2), nn.Conv1d(8, 5, 3)), resolution=6)
    assert line(found) == (STEM + 4080, STEM + 4080, 4080)


def test_linear() -> None:
    # 8 * 36 = 288 features to 10: 2880
    found = bill(after_stem(nn.Flatten(), nn.Linear(288, 10)), resolution=6)
    assert line(found) == (STEM + 2880, STEM + 2880, 2880)


def test_linear_over_tokens_without_bias() -> None:
    # 8 tokens of 36 features to 10: 8 * 36 * 10 = 2880
    found = bill(after_stem(nn.Flatten(2), nn.Linear(36, 10, bias=False)), resolution=6)
    assert line(found) == (STEM + 2880, STEM + 2880, 2880)


def test_products_of_features() -> None:
    """x x^T of 8 tokens of 36: 8 * 36 * 8 = 2304; both operands need a gradient."""
    for product in (
        lambda x: x @ x.transpose(1, 2),
        lambda x: torch.matmul(x, x.transpose(1, 2)),
        lambda x: torch.bmm(x, x.transpose(1, 2)),
        lambda x: torch.baddbmm(torch.zeros(1, 8, 8), x, x.transpose(1, 2)),
        lambda x: torch.einsum("nif,njf->nij", x, x),
        lambda x: torch.mm(x[0], x[0].t()),
        lambda x: torch.addmm(torch.zeros(8, 8), x[0], x[0].t()),
    ):
        found = bill(after_stem(nn.Flatten(2), Apply(product)), resolution=6)
        assert line(found) == (STEM + 2304, STEM, 2 * 2304)


def test_broadcast_and_vector_products() -> None:
    # 3 channels of 6 x 6 times one 6 x 5 matrix: 3 * 6 * 6 * 5 = 540, its gradient alone
    assert sum(line(bill(Apply(lambda x, w: x @ w, (6, 5)), resolution=6))) == 540 + 540
    # 5 matrices of 6 x 6 times each of 3 channels, broadcast: 5 * 3 * 6 * 6 * 6 = 3240
    assert line(bill(Apply(lambda x, w: w @ x[:, None], (5, 1, 6, 6)), resolution=6))[0] == 3240
    # 3 * 6 rows times a vector of 6: 108
    assert bill(Apply(lambda x, v: x @ v, (6,)), resolution=6).forward_macs == 108
    assert line(bill(Apply(lambda x, v: torch.mv(x[0, 0], v), (6,)), resolution=6))[0] == 36
    assert line(bill(Apply(lambda x, v: torch.dot(x[0, 0, 0], v), (6,)), resolution=6))[0] == 6


def test_attention() -> None:
    """4 heads of 2 on 36 tokens: scores 4 * 36 * 36 * 2 = 10368, weighted values the same; each has two gradients."""

    def attend(image: Tensor, keep: bool = True) -> Tensor:
        tokens = image.flatten(2).transpose(1, 2).view(len(image), 36, 4, 2).transpose(1, 2)
        return functional.scaled_dot_product_attention(tokens, tokens if keep else tokens.detach(), tokens)

    assert line(bill(after_stem(Apply(attend)), resolution=6)) == (STEM + 2 * 10368, STEM, 4 * 10368)
    # a key that needs no gradient: one of the four products falls away
    found = bill(after_stem(Apply(lambda image: attend(image, keep=False))), resolution=6)
    assert line(found) == (STEM + 2 * 10368, STEM, 3 * 10368)


def test_attention_with_gradient_to_values_only() -> None:
    # no gradient through the scores: only the values' own product, 4 * 36 * 36 * 2 = 10368
    def attend(image: Tensor) -> Tensor:
        tokens = image.flatten(2).transpose(1, 2).view(len(image), 36, 4, 2).transpose(1, 2)
        return functional.scaled_dot_product_attention(tokens.detach(), tokens.detach(), tokens)

    assert line(bill(after_stem(Apply(attend)), resolution=6)) == (STEM + 2 * 10368, STEM, 10368)


def test_cross_attention_of_other_widths() -> None:
    # 36 queries of 8, 9 keys of 8, values of 5: 36 * 9 * 8 + 36 * 9 * 5 = 2592 + 1620
    def attend(image: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(image.flatten(2).transpose(1, 2), keys, values)

    found = bill(after_stem(Apply(attend, (1, 9, 8), (1, 9, 5))), resolution=6)
    assert (found.forward_macs, found.backward_macs) == (STEM + 4212, STEM + 2 * 4212)


class SelfAttention(nn.Module):
    """nn.MultiheadAttention on the positions of an 8-channel map."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, image: Tensor) -> Tensor:
        tokens = image.flatten(2).transpose(1, 2)
        mixed: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return mixed


def test_native_multi_head_attention() -> None:
    """36 tokens of 8: projections 4 * 36 * 64 = 9216, products 2 * 36 * 36 * 8 = 20736, in train mode and in eval.

    In eval mode with nothing to differentiate PyTorch takes one fused operator for all of it.
    """
    found = bill(after_stem(SelfAttention()), resolution=6)
    assert line(found) == (STEM + 9216 + 20736, STEM + 9216, 9216 + 2 * 20736)
    assert found.evaluation_macs == STEM + 9216 + 20736


def test_everything_else_is_on_its_own_line() -> None:
    net = after_stem(nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1))
    found = bill(net, resolution=6)
    assert line(found) == (STEM, STEM, 0)
    # 8 x 36 features, 5 each for the norm, 1 each for ReLU; 8 x 9 windows of 4; 8 x 9 features averaged
    assert found.elementwise_ops == {"batch_norm": 1440, "relu": 288, "max_pool2d": 288, "adaptive_avg_pool2d": 72}


def test_frozen_layers() -> None:
    """Stem, middle and head of 1x1 convolutions: 8 * 3 * 36 = 864, 8 * 8 * 36 = 2304, 4 * 8 * 36 = 1152."""
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1))
    assert line(bill(net, resolution=6)) == (4320, 4320, 2304 + 1152)
    net[0].requires_grad_(False)  # no gradient below the middle
    assert line(bill(net, resolution=6)) == (4320, 2304 + 1152, 1152)
    net[0].requires_grad_(True)
    net[1].requires_grad_(False)  # gradients pass through the frozen middle to the stem
    assert line(bill(net, resolution=6)) == (4320, 864 + 1152, 2304 + 1152)
    net[1].weight.requires_grad_(False)
    net[1].bias.requires_grad_(True)  # a bias alone has no product of its own, but the head's input needs a gradient
    net[0].requires_grad_(False)
    assert line(bill(net, resolution=6)) == (4320, 1152, 1152)
    net.requires_grad_(False)
    assert line(bill(net, resolution=6)) == (4320, 0, 0)


class StemAndHead(nn.Module):
    """1x1 convolutions of 864 and 1152 MACs, joined by `join(stem, head, image)`."""

    def __init__(self, join: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.stem, self.head, self.join = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1), join

    def forward(self, image: Tensor) -> Tensor:
        return self.join(self.stem, self.head, image)


def without_gradient(stem: nn.Module, head: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        features = stem(image)
    return head(features)


def beside(stem: nn.Module, head: nn.Module, image: Tensor) -> Tensor:
    """The stem's product is computed, and nobody uses it."""
    stem(image)
    return head(torch.cat((image, image, image), dim=1)[:, :8])


def into_a_slice(stem: nn.Module, head: nn.Module, image: Tensor) -> Tensor:
    """The stem's features are written into a tensor that needed no gradient before."""
    features = torch.zeros(len(image), 8, 6, 6)
    features[:, 2:6] = stem(image)[:, 2:6]
    return head(features)


@pytest.mark.parametrize(
    ("join", "weight_gradients", "input_gradients"),  # forward: both, whatever autograd does
    [
        (lambda stem, head, image: head(stem(image)), 864 + 1152, 1152),
        (lambda stem, head, image: head(stem(image).detach()), 1152, 0),
        (without_gradient, 1152, 0),
        (beside, 1152, 0),
        (into_a_slice, 864 + 1152, 1152),
    ],
    ids=["joined", "detached", "no_grad", "unused", "slice"],
)
def test_only_what_autograd_computes(
    join: Callable[..., torch.Tensor], weight_gradients: int, input_gradients: int
) -> None:
    assert line(bill(StemAndHead(join), resolution=6)) == (864 + 1152, weight_gradients, input_gradients)


def test_a_result_that_is_detached_at_the_end() -> None:
    """Two passes through the stem; the one below the detached head has no gradient."""
    net = StemAndHead(lambda stem, head, image: (head(stem(image)).detach(), stem(image).sum()))
    assert line(bill(net, resolution=6)) == (2 * 864 + 1152, 864, 0)


def test_unknown_operators_stop_the_run() -> None:
    """With their names: one that multiplies, one of a foreign library, one written in Python, scripted control flow."""
    with pytest.raises(UncountedOperator, match="aten::cdist"):
        bill(Apply(lambda image: torch.cdist(image, image)), resolution=6)
    with pytest.raises(UncountedOperator, match="torchvision::"):
        bill(DeformableStem(), resolution=6)
    with pytest.raises(UncountedOperator, match="einsum"):
        bill(Apply(lambda image, w, v: torch.einsum("nchw,wk,kl->nchl", image, w, v), (6, 5), (5, 4)), resolution=6)
    with pytest.raises(UncountedOperator, match="Doubled"):
        bill(Apply(Doubled.apply), resolution=6)
    assert issubclass(UncountedOperator, HarnessError)


class DeformableStem(nn.Module):
    """torchvision's own operator: a convolution that fvcore does not know."""

    def forward(self, image: Tensor) -> Tensor:
        return ops.deform_conv2d(image, torch.zeros(1, 18, 4, 4), torch.zeros(5, 3, 3, 3))


class Doubled(torch.autograd.Function):
    """What a user may write; its inside is not in the graph."""

    @staticmethod
    def forward(_context: object, image: Tensor) -> Tensor:
        return image @ image

    @staticmethod
    def backward(_context: object, gradient: Tensor) -> Tensor:
        return gradient


def test_small_maps_with_batchnorm() -> None:
    """One value per channel at batch 1, which BatchNorm refuses to train on: still counted, at batch 1."""
    net = nn.Sequential(nn.Conv2d(3, 8, 6), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    # 8 filters of 3 x 36 at one position, 8 x 2 weights
    assert line(bill(net, resolution=6)) == (864 + 16, 864 + 16, 16)


def test_one_channel_images() -> None:
    assert bill(nn.Conv2d(1, 5, 3), resolution=6, channels=1).forward_macs == 5 * 9 * 16


def test_counting_inside_inference_mode() -> None:
    net = after_stem(nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1))
    expected = bill(net, resolution=6)
    with torch.inference_mode():
        assert bill(net, resolution=6) == expected
