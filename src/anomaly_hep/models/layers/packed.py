"""Convolutions whose kernel is cached in the memory layout of oneDNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class _Ordered:
    """Kernel and bias in oneDNN's layout for one shape and precision, with their originals."""

    dtype: torch.dtype
    shape: torch.Size
    weight: Tensor
    bias: Tensor
    versions: tuple[int, int]
    kernel: Tensor
    shift: Tensor

    def fits(self, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> bool:
        return (
            self.dtype == dtype
            and self.shape == x.shape
            and self.weight is weight
            and self.bias is bias
            # every in-place change increases a tensor's version
            and self.versions == (weight._version, bias._version)
        )


class PackedConvolution(nn.Module):
    """functional.conv2d, which in evaluation reorders its kernel once, not at every call.

    Reordering takes a third of the time of three convolutions of one image. The values are those of
    conv2d up to rounding. A reordered kernel is valid for one precision and one shape of images; it
    is dropped when the mode changes, weights are loaded or the model is moved, and is not copied.
    """

    def __init__(self, *, stride: int, padding: int, groups: int) -> None:
        super().__init__()
        self.stride, self.padding, self.groups = stride, padding, groups
        self._ordered: _Ordered | None = None

    def forward(
        self,
        x: Float[Tensor, "image channel row column"],
        weight: Float[Tensor, "channel2 channel_of_group 3 3"],
        bias: Float[Tensor, " channel2"],
    ) -> Float[Tensor, "image channel2 row2 column2"]:
        """Return the convolution, in autocast's precision if that is active."""
        autocast = torch.is_autocast_enabled(x.device.type)
        dtype = torch.get_autocast_dtype(x.device.type) if autocast else x.dtype
        # with one group, torch does not use oneDNN for a small image, so roundings would differ
        if self.training or self.groups == 1 or not _usable(x, weight, bias, dtype):
            return functional.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)
        if self._ordered is None or not self._ordered.fits(x, weight, bias, dtype):
            self._ordered = self._order(x, weight, bias, dtype)
        convolved: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x.to(dtype),
            self._ordered.kernel,
            self._ordered.shift,
            *self._geometry(),
            self.groups,
            "none",
            [],
            "",
        )
        return convolved

    def _order(self, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> _Ordered:
        padding, stride, dilation = self._geometry()
        kernel = torch.ops.aten.mkldnn_reorder_conv2d_weight(
            weight.to(dtype).to_mkldnn(), padding, stride, dilation, self.groups, list(x.shape)
        )
        versions = weight._version, bias._version
        return _Ordered(dtype, x.shape, weight, bias, versions, kernel, bias.to(dtype))

    def _geometry(self) -> tuple[list[int], list[int], list[int]]:
        """Return padding, stride and dilation of rows and columns."""
        return [self.padding] * 2, [self.stride] * 2, [1, 1]

    def train(self, mode: bool = True) -> PackedConvolution:
        """Switch between training and evaluation, and drop the reordered kernel."""
        self._ordered = None
        return super().train(mode)

    def _apply(self, *arguments: Any, **keywords: Any) -> PackedConvolution:
        self._ordered = None
        return super()._apply(*arguments, **keywords)

    def _load_from_state_dict(self, *arguments: Any, **keywords: Any) -> None:
        self._ordered = None
        super()._load_from_state_dict(*arguments, **keywords)

    def __getstate__(self) -> dict[str, Any]:
        # oneDNN's tensors cannot be copied or pickled
        return self.__dict__ | {"_ordered": None}


def _usable(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> bool:
    return (
        not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.numel() > 0
        # a tensor made in inference mode has no version
        and not weight.is_inference()
        and not bias.is_inference()
        and torch.backends.mkldnn.is_available()
        and (
            dtype == torch.float32
            or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
        )
    )
