"""Small models of jets with random weights, in checkpoints as a training writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate

from anomaly_hep.checking import data_settings
from anomaly_hep.commands.train import make_data
from anomaly_hep.configuration import compose
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.signatures import built

SMALL = ("model.encoder.d_model=8", "model.encoder.d_ff=8", "model.encoder.decoder_layers=1")


def read_fpga_settings(*overrides: str) -> DesignSettings:
    """The settings of the command fpga, all exports, with overrides."""
    return built(DesignSettings, compose("fpga", overrides)["fpga"], "fpga")


def write_checkpoint(path: Path, directory: Path, *overrides: str) -> None:
    """Write the checkpoint of a model that was never trained, for the events of a directory."""
    config = compose("train", ["model=clipvae", *SMALL, *overrides])
    settings = {name: value for name, value in config["model"].items() if name != "name"}
    torch.manual_seed(3)
    model: Any = instantiate(settings, _recursive_=False, _convert_="all")
    if settings["quantization"]:
        # one batch, from which the activations' scales follow
        network = model.encoder.network
        network(torch.randn(50, network.constituents, len(network.ranges)))
    module = make_data(data_settings({**config["data"], "dir": str(directory)}), config["seed"])
    content: dict[str, Any] = {
        "hyper_parameters": dict(model.hparams),
        "state_dict": model.state_dict(),
        "datamodule_hyper_parameters": dict(module.hparams),
    }
    model.on_save_checkpoint(content)
    torch.save(content, path)
