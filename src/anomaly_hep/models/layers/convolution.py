"""Blocks of the convolutional auto-encoders of arXiv:2306.12955, padded and initialised as there.

Images are (image, channel, row, column) in channels-last memory; rows are phi, columns eta.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.models.layers import kernels, plain
from anomaly_hep.models.layers.packed import PackedConvolution

EPS = 1e-3  # of the instance norm, as in TensorFlow Addons
SLOPE = 0.2  # of the leaky ReLU, TensorFlow's default


class _Block(nn.Module):
    """The parameters of a convolution followed by an instance norm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.norm_weight = nn.Parameter(torch.ones(outputs))
        self.norm_bias = nn.Parameter(torch.zeros(outputs))
        he_uniform(self.weight)


class ConvBlock(_Block):
    """3 x 3 convolution, instance norm with scale and shift, leaky ReLU.

    Stride 2 halves the size, rounded up, with TensorFlow's SAME padding.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs // groups, outputs, stride)
        padding = 0 if stride == 2 else 1  # SAME padding is not the same on both sides
        self.convolve = PackedConvolution(stride=stride, padding=padding, groups=groups)

    def forward(
        self,
        x: Float[Tensor, "image channel row column"],
        residual: Float[Tensor, "image channel2 row2 column2"] | None = None,
    ) -> Float[Tensor, "image channel2 row2 column2"]:
        """Return the block's output, added to `residual` if given."""
        if self.stride == 2:
            x = functional.pad(x, plain.same_padding(x.shape[2], x.shape[3]))
        y = self.convolve(x, self.weight, self.bias)
        return kernels.norm_act(y, self.norm_weight, self.norm_bias, residual, eps=EPS, slope=SLOPE)


class MaskBlock(_Block):
    """A `ConvBlock` for images of one channel with values 0 and 1, computed from a table.

    A 3 x 3 window of zeros and ones has 512 patterns, of which an image contains few: convolution,
    norm (from the frequencies of the patterns) and activation are computed once per pattern, and
    then looked up. The sums are the same, in another order. An accelerator or a compiled graph
    would have to wait for the values to know the patterns, so there a convolution is used.
    """

    def __init__(self, outputs: int, *, stride: int = 1, pooled: bool = False) -> None:
        super().__init__(1, outputs, stride)
        self.pooled = pooled
        self.bits: Tensor
        bits = (torch.arange(512)[:, None] >> torch.arange(9)) & 1
        self.register_buffer("bits", bits.float(), persistent=False)

    def forward(
        self, mask: Float[Tensor, "image 1 row column"]
    ) -> Float[Tensor, "image channel2 row2 column2"]:
        """Return the block's output, max-pooled if the block is `pooled`."""
        if mask.device.type != "cpu" or torch.compiler.is_compiling():
            x = functional.pad(mask, self._padding(mask))
            y = functional.conv2d(x, self.weight, self.bias, self.stride)
            y = kernels.norm_act(y, self.norm_weight, self.norm_bias, None, eps=EPS, slope=SLOPE)
            return kernels.pool(y) if self.pooled else y
        with torch.autocast(mask.device.type, enabled=False):
            index, used = self._windows(mask.float())
            table = self._table(index, used)
        if torch.is_autocast_enabled(mask.device.type):
            table = table.to(torch.get_autocast_dtype(mask.device.type))
        return kernels.gather_pool(table, index) if self.pooled else kernels.gather(table, index)

    def _padding(self, mask: Float[Tensor, "image 1 row column"]) -> tuple[int, int, int, int]:
        if self.stride == 1:
            return 1, 1, 1, 1
        return plain.same_padding(mask.shape[2], mask.shape[3])

    def _windows(
        self, mask: Float[Tensor, "image 1 row column"]
    ) -> tuple[Int32[Tensor, "image row2 column2"], Float[Tensor, "pattern 9"]]:
        """Return the pattern of each window, as a position among those that occur, and these."""
        x, step = functional.pad(mask[:, 0], self._padding(mask)), self.stride
        height, width = x.shape[1:]
        # each pixel of a window is one bit; a convolution would take five times as long
        x = _digits(*(x[:, :, i : width - 2 + i : step] for i in range(3)), base=2)
        x = _digits(*(x[:, i : height - 2 + i : step] for i in range(3)), base=8)
        codes = x.long()
        occurs = torch.bincount(codes.flatten(), minlength=512) > 0
        number = occurs.cumsum(0) - 1
        return number[codes].int(), self.bits[occurs]

    def _table(
        self, index: Int32[Tensor, "image row2 column2"], used: Float[Tensor, "pattern 9"]
    ) -> Float[Tensor, "image pattern channel2"]:
        """Return each image's output for each pattern."""
        images, patterns = len(index), len(used)
        windows = index.shape[1:].numel()
        offset = torch.arange(images, device=index.device)[:, None, None] * patterns
        counts = torch.bincount((index + offset).flatten(), minlength=images * patterns)
        share = counts.view(images, patterns).float() / windows
        values = used @ self.weight.flatten(1).T + self.bias
        centred = values - (share @ values)[:, None]
        variance = torch.einsum("if,ifc->ic", share, centred * centred)
        scale = (variance + EPS).rsqrt() * self.norm_weight
        return functional.leaky_relu(centred * scale[:, None] + self.norm_bias, SLOPE)


def _digits(
    first: Float[Tensor, "*place"],
    second: Float[Tensor, "*place"],
    third: Float[Tensor, "*place"],
    *,
    base: int,
) -> Float[Tensor, "*place"]:
    """Return the number with these three digits, lowest first."""
    return first.add(second, alpha=base).add_(third, alpha=base * base)


class Residual(nn.Module):
    """x + two convolution blocks of x, without an activation after the sum."""

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels, groups=groups)
        self.second = ConvBlock(channels, channels, groups=groups)

    def forward(
        self, x: Float[Tensor, "image channel row column"]
    ) -> Float[Tensor, "image channel row column"]:
        """Return the sum."""
        return self.second(self.first(x), x)


class SpatialConditioning(nn.Module):
    """Multiply a feature map by a linear 3 x 3 convolution of (condition, x, y).

    arXiv:2306.12955 algorithm 2, with x and y in [-1, 1]. The condition is the same everywhere, so
    the convolution is a sum of fixed maps weighted by it, convolved once per batch.
    """

    def __init__(self, condition: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, condition + 2, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.xavier_uniform_(self.weight)
        # one map for each component of the condition, set to 1, and one for x and y
        rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        maps = torch.zeros(condition + 1, condition + 2, height, width)
        maps[range(condition), range(condition)] = 1.0
        maps[condition, condition] = columns[None, :]
        maps[condition, condition + 1] = rows[:, None]
        self.maps: Tensor
        self.register_buffer("maps", maps, persistent=False)

    def forward(
        self, x: Float[Tensor, "image channel row column"], z: Float[Tensor, "image condition"]
    ) -> Float[Tensor, "image channel row column"]:
        """Return the conditioned feature map."""
        basis = functional.conv2d(self.maps, self.weight, padding=1).permute(0, 2, 3, 1)
        weights = torch.cat([z, z.new_ones(len(z), 1)], dim=1)
        factor = weights @ basis.flatten(1).to(z.dtype) + self._constant(basis)
        return x * factor.view(len(z), *basis.shape[1:]).permute(0, 3, 1, 2).to(x.dtype)

    def _constant(self, basis: Float[Tensor, "map row column channel"]) -> Float[Tensor, " value"]:
        return self.bias.to(basis.dtype).expand(basis.shape[1:]).flatten()


def he_uniform(weight: Float[Tensor, "output ..."]) -> None:
    """Initialise a kernel uniformly within +-sqrt(6 / fan-in), as Keras does.

    The fan-in of a grouped convolution counts the inputs of one group, as in Keras.
    """
    fan_in = weight[0].numel()
    bound = math.sqrt(6.0 / fan_in)
    nn.init.uniform_(weight, -bound, bound)
