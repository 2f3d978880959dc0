"""What decides how numbers are rounded in this process: recorded with every run."""

from __future__ import annotations

from typing import Any

import torch

from anomaly_hep.models.layers import operators, product
from anomaly_hep.processor import processor


def arithmetic() -> dict[str, Any]:
    """Return processor, instruction sets, threads, and which of two ways each quick step went.

    Two runs with the same of these, of the same code and versions, give the same numbers to the
    last bit; `kernels` is None as long as no network of images was used on the CPU.
    """
    return {
        "processor": processor().name,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "products": "convolution" if product.CONVOLUTION_IS_QUICKER else "linear",
        "kernels": operators.path(),
    }
