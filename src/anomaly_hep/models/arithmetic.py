"""The conditions that determine rounding in this process; recorded with every run."""

from __future__ import annotations

from typing import Any

import torch

from anomaly_hep.models.layers import operators, product
from anomaly_hep.processor import processor


def arithmetic() -> dict[str, Any]:
    """Return processor, instruction sets, threads, and the implementation of each fast step.

    Two runs of the same code and versions for which these agree give bitwise equal numbers;
    `kernels` is None as long as no network of images or summed over particles was used on the CPU.
    """
    return {
        "processor": processor().name,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "products": "convolution" if product.CONVOLUTION_IS_QUICKER else "linear",
        "kernels": operators.path(),
    }
