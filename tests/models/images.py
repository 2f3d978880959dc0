"""Random detector images for the tests of this folder."""

from __future__ import annotations

import torch

from anomaly_hep.data.batch import ImageBatch


def random_images(number: int, *, density: float = 0.02, seed: int = 0) -> ImageBatch:
    """Return images with hits in all three channels, each pixel hit with probability `density`."""
    generator = torch.Generator().manual_seed(seed)
    channels, rows, columns = ImageBatch.shape
    hit = torch.rand(number, channels * rows * columns, generator=generator) < density
    lengths = hit.sum(1)
    return ImageBatch(
        lengths=lengths,
        index=torch.arange(number),
        pixel=hit.nonzero()[:, 1],
        energy=torch.rand(int(lengths.sum()), generator=generator) * 20 + 0.1,
    )
