"""Designs around random encoders, and what an export is given of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.design_settings import ScoreName
from anomaly_hep.fpga.export import Physical, ProofEvents
from anomaly_hep.fpga.integers import ChipEvents, IntegerEncoder
from anomaly_hep.fpga.masstable import MassTable
from anomaly_hep.fpga.stages import wide_stage
from anomaly_hep.fpga.stimuli import Stimuli
from anomaly_hep.models.layers.trigger import TriggerEncoder
from tests.fpga.encoders import hard_inputs, random_encoder, with_latents

# what an export never looks at
_NETWORK: dict[str, Any] = {
    "ranges": [1.0], "outputs": 1, "constituents": 1, "phi": [1], "rho": [], "precision": None
}  # fmt: skip


def design_of(
    encoder: IntegerEncoder, score: ScoreName = "squared", table: MassTable | None = None
) -> Design:
    """The design of an encoder, whose threshold is in the middle of what scores there are."""
    network = TriggerEncoder(**_NETWORK)
    if score == "kl":
        encoder = with_latents(encoder, 3)
    chip = ChipScore(score, encoder.head.output, len(encoder.head.weight))
    scores = np.unique(chip(encoder(hard_inputs(encoder))))
    cut = int(scores[max(len(scores) // 2 - 1, 0)])
    return Design(network, network, encoder, chip, cut, table)


def random_design(seed: int = 1, score: ScoreName = "squared", **encoder: Any) -> Design:
    """The design of a random encoder."""
    return design_of(random_encoder(seed, **encoder), score)


def proof_of(
    design: Design, data: ChipEvents, count: int = 0, physical: Physical | None = None
) -> ProofEvents:
    """The events of a proof, `count` in all if that is more than those of data."""
    mass = None if design.table is None else design.table.mass
    stimuli = Stimuli(design.integers, data, mass, count, 3)
    return ProofEvents(stimuli, wide_stage(design, stimuli).stage.integers, physical)
