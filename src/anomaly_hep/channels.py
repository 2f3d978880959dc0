"""The channels of a data set: data.channel=all is a job for each of them."""

from __future__ import annotations

import copy

from omegaconf import DictConfig, OmegaConf

from anomaly_hep.errors import ConfigError

ALL = "all"  # as data.channel: every one of data.channels


def by_channel(config: DictConfig) -> dict[str, DictConfig]:
    """Return the configuration of each channel that data.channel=all stands for, by channel.

    It is empty for one channel, and for data without channels. Runs stand below one directory.
    """
    if OmegaConf.select(config, "data.channel") != ALL:
        return {}
    parts: dict[str, DictConfig] = {}
    for channel in config.data.channels:
        part = copy.deepcopy(config)
        OmegaConf.update(part, "data.channel", channel)
        parts[str(channel)] = part
    if "run_dir" in config:
        place = config.run_dir or _place(next(iter(parts.values())))
        for channel, part in parts.items():
            part.run_dir = f"{place}/channel-{channel}"
    return parts


def _place(config: DictConfig) -> str:
    """Return the default directory of the runs of all channels, given that of one."""
    from anomaly_hep.configuration import plain
    from anomaly_hep.run import OUTPUTS, default_path  # which loads torch

    return f"{default_path(plain(config), OUTPUTS)}-{ALL}"


def check_channel(config: DictConfig) -> None:
    """Refuse a channel that a data set does not list, before other keys are looked up by it."""
    data = OmegaConf.to_container(config.get("data") or OmegaConf.create(), resolve=False)
    assert isinstance(data, dict)
    listed = [*map(str, data.get("channels") or ()), ALL]
    if data.get("channels") and str(data.get("channel")) not in listed:
        raise ConfigError(
            f"data.channel={data.get('channel')} does not exist. Cure: one of {', '.join(listed)}"
        )
