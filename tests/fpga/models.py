"""Small models of jets with random weights, in checkpoints as a training writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from anomaly_hep.commands.train import make_data
from anomaly_hep.fpga.settings import Settings, read_settings

CONF = Path(__file__).resolve().parents[2] / "conf"
SMALL = ("model.encoder.d_model=8", "model.encoder.d_ff=8", "model.encoder.decoder_layers=1")


def read_fpga_settings(*overrides: str) -> Settings:
    """The settings of the command fpga, all exports, with overrides."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("fpga", overrides=list(overrides))
    return read_settings(OmegaConf.to_container(composed, resolve=True)["fpga"])


def write_checkpoint(path: Path, directory: Path, *overrides: str) -> None:
    """Write the checkpoint of a model that was never trained, for the events of a directory."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("train", overrides=["model=clipvae", *SMALL, *overrides])
    config: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)
    config["data"]["dir"] = str(directory)
    settings = {name: value for name, value in config["model"].items() if name != "name"}
    torch.manual_seed(3)
    model: Any = instantiate(settings, _recursive_=False, _convert_="all")
    if settings["quantization"]:
        # one batch, from which the activations' scales follow
        network = model.encoder.network
        network(torch.randn(50, network.constituents, len(network.ranges)))
    content: dict[str, Any] = {
        "hyper_parameters": dict(model.hparams),
        "state_dict": model.state_dict(),
        "datamodule_hyper_parameters": dict(make_data(config).hparams),
    }
    model.on_save_checkpoint(content)
    torch.save(content, path)
