"""Random detector images for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace

import torch

from anomaly_hep.data.batch import ImageBatch

SHAPE = (3, 72, 58)


def random_images(number: int, *, density: float = 0.02, seed: int = 0) -> ImageBatch:
    """Return images with hits in all three channels, each pixel hit with probability `density`."""
    generator = torch.Generator().manual_seed(seed)
    channels, rows, columns = SHAPE
    hit = torch.rand(number, channels * rows * columns, generator=generator) < density
    lengths = hit.sum(1)
    return ImageBatch(
        lengths=lengths,
        index=torch.arange(number),
        weight=torch.ones(number),
        shape=SHAPE,
        pixel=hit.nonzero()[:, 1],
        energy=torch.rand(int(lengths.sum()), generator=generator) * 20 + 0.1,
    )


def block_images(number: int, *, side: int = 24) -> ImageBatch:
    """Return images of a filled square in the tracker, elsewhere in each: not noise, learnable."""
    _, rows, columns = SHAPE
    shift, place = 12 * torch.arange(number), torch.arange(side)
    row = (place[:, None] + shift[:, None, None]) % rows
    column = (place + shift[:, None, None]) % columns
    return ImageBatch(
        lengths=torch.full((number,), side * side),
        index=torch.arange(number),
        weight=torch.ones(number),
        shape=SHAPE,
        pixel=(row * columns + column).flatten(),
        energy=torch.full((number * side * side,), 10.0),
    )


def labelled(images: ImageBatch, *, classes: int = 3) -> ImageBatch:
    """Return the images as events of one class after the other."""
    number = len(images)
    return replace(images, label=torch.arange(number) % classes)
