"""Convolutions whose kernel is kept in the order of memory that oneDNN calculates with."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


class PackedConvolution:
    """functional.conv2d, which without a gradient orders its kernel once, not at every call.

    Ordering takes a third of the time of three convolutions of one image. The values are those of
    conv2d, by the same oneDNN functions.
    """

    def __init__(self, *, stride: int, padding: int, groups: int) -> None:
        self.stride, self.padding, self.groups = stride, padding, groups
        self._kept: tuple[tuple[object, ...], Tensor, Tensor] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # a copy orders its own kernel: oneDNN's tensors have no memory that could be copied
        return _make, (self.stride, self.padding, self.groups)

    def __call__(
        self,
        x: Float[Tensor, "image channel row column"],
        weight: Float[Tensor, "channel2 channel_of_group 3 3"],
        bias: Float[Tensor, " channel2"],
    ) -> Float[Tensor, "image channel2 row2 column2"]:
        """Return the convolution, in autocast's precision where that is on."""
        autocast = torch.is_autocast_enabled(x.device.type)
        dtype = torch.get_autocast_dtype(x.device.type) if autocast else x.dtype
        # of one small image in one group torch makes no oneDNN convolution, but other roundings
        if self.groups == 1 or not _pays(x, dtype):
            return functional.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)
        kernel, shift = self._packed(x, weight, bias, dtype)
        made: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x.to(dtype), kernel, shift, *self._geometry(), self.groups, "none", [], ""
        )
        return made

    def _packed(
        self, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Return kernel and bias for images like x; kept while nothing changes."""
        # every change in place raises a tensor's version; a move gives it another address
        state = (weight._version, weight.data_ptr(), bias._version, bias.data_ptr(), dtype, x.shape)
        if self._kept is None or self._kept[0] != state:
            padding, stride, dilation = self._geometry()
            kernel = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                weight.to(dtype).to_mkldnn(), padding, stride, dilation, self.groups, list(x.shape)
            )
            self._kept = (state, kernel, bias.to(dtype))
        return self._kept[1:]

    def _geometry(self) -> tuple[list[int], list[int], list[int]]:
        """Return padding, stride and dilation of rows and columns."""
        return [self.padding] * 2, [self.stride] * 2, [1, 1]


def _make(stride: int, padding: int, groups: int) -> PackedConvolution:
    return PackedConvolution(stride=stride, padding=padding, groups=groups)


def _pays(x: Tensor, dtype: torch.dtype) -> bool:
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.numel() > 0
        and torch.backends.mkldnn.is_available()
        and (
            dtype == torch.float32
            or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
        )
    )
