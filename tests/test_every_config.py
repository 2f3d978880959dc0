"""Every yaml that the project ships composes, and every model and experiment can be built."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import anomaly_hep.configuration  # noqa: F401 (registers the resolvers of the yaml files)
from anomaly_hep.checking import model_settings, settings_of
from anomaly_hep.commands.train import make_data, make_model
from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.paper import paper_of
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.fpga.flows import FLOWS
from anomaly_hep.models.layers.trigger import FLAG_RANGE, TriggerEncoder
from anomaly_hep.signatures import built

CONF = Path(__file__).resolve().parents[1] / "conf"
ROOTS = sorted(path.stem for path in CONF.glob("*.yaml"))
GROUPS = sorted(
    (str(path.parent.relative_to(CONF)), path.stem)
    for path in CONF.glob("*/**/*.yaml")
    # phases are parts of the models, and what is measured is the benchmark's
    if path.parent.name not in ("simulation", "fpga", "phase", "measured")
)
FIRMWARE = sorted(path.stem for path in (CONF / "fpga").glob("*.yaml"))
REQUIRED = {
    "score": ["checkpoint=a.ckpt", "input=b.root", "output=c.parquet"],
    "evaluate": ["run_dir=a"],
    "dashboard": ["run_dir=a", "entity=b"],
    "fetch": ["to=a"],
    "cluster": ["files=a.h5"],
    "curve": ["run_dir=a"],
    "search": ["run=a"],
    "rate": ["run=a", "rate_hz=1", "input_rate_hz=2"],
}


def _compose(name: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, overrides=list(overrides))
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


@pytest.mark.parametrize("name", ROOTS)
def test_every_command_composes(name: str) -> None:
    assert settings_of(name, _compose(name, *REQUIRED.get(name, [])))


def _numbers(section: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield where each number of a section and of those below it stands."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield section, key


@pytest.mark.parametrize(
    ("group", "option"), [(g, o) for g, o in GROUPS if g in ("model", "model/encoder")]
)
def test_a_negative_number_is_refused_wherever_a_model_takes_one(group: str, option: str) -> None:
    values = _compose("train", f"{group}={option}")["model"]
    places = list(_numbers(values))
    assert len(places) > 3
    for section, key in places:
        before, section[key] = section[key], -1
        with pytest.raises(ConfigError):  # noqa: PT012 - any of the three may say it
            make_model(model_settings(values)).check_phases()
            pytest.fail(f"{key}=-1 is taken")
        section[key] = before


@pytest.mark.parametrize(("group", "option"), GROUPS)
def test_every_option_composes_and_its_model_can_be_built(group: str, option: str) -> None:
    # data need a model that takes them
    beside = {
        "data=darkshowers": ["model=codae"], "data=darkmachines": ["model=deepset_bvae"],
        "data=lhco": ["model=antelope"],
        "data=stealthjets": ["model=ibvae"],
        "data=toptagging": ["model.use_pid=false"],
        "data=jetnet": ["model.use_pid=false"],
        "data/features=fourmomenta": ["model=ibvae"],
        "data/features=absolute": ["model=antelope"],
        "data/features=relative": ["model=antelope"],
    }.get(f"{group}={option}", [])  # fmt: skip
    config = _compose("train", f"{group}={option}", *beside)
    settings = settings_of("train", config)
    model, data = make_model(settings.model), make_data(settings.data, settings.seed)
    assert model.parameter_counts()["total"] > 0
    model.check_phases()
    data.reading.check(model)
    assert data.reading.columns


@pytest.mark.parametrize("option", FIRMWARE)
def test_every_kind_of_firmware_composes_and_its_encoder_can_be_built(option: str) -> None:
    settings = built(DesignSettings, _compose("fpga", f"fpga={option}")["fpga"], "fpga")
    ranges = [8.0, 1.0, 1.0, 4.0, *[FLAG_RANGE] * (8 * settings.types)]
    encoder = TriggerEncoder(
        ranges=ranges,
        outputs=settings.latent_dim,
        constituents=settings.constituents,
        phi=settings.phi,
        rho=settings.rho,
        precision=settings.precision,
    )
    assert len(ranges) == 12
    assert encoder.constituents == 16
    assert {name for name in FLOWS if getattr(settings, name) is not None} == {
        "all": set(FLOWS), "design": set(),
    }.get(option, {option})  # fmt: skip


def test_every_group_is_covered() -> None:
    assert {group for group, _ in GROUPS} >= {"data", "experiment", "logger", "model", "trainer"}


@pytest.mark.parametrize(
    ("experiment", "encoder", "pid"),
    list(
        product(("setvae_table1", "clipvae_table2"), ("deepset", "transformer"), ("true", "false"))
    ),
)
def test_every_row_of_the_tables_finds_its_published_numbers(
    experiment: str, encoder: str, pid: str
) -> None:
    config = _compose(
        "train", f"experiment={experiment}", f"model/encoder={encoder}", f"model.use_pid={pid}"
    )
    row, _ = paper_of(config).published(config)
    assert row.table == int(experiment[-1])
    assert row.row.lower().startswith(encoder)
    assert ("w/ PID" in row.row) == (pid == "true")


def test_choices_of_the_command_line_compose() -> None:
    choices = ("model.beta=0.5", "model.clip_fraction=0.9", "data.features.delta_r.scale=3")
    config = _compose("train", "model=setvae", "model/encoder=transformer", *choices)
    assert config["model"]["encoder"]["kind"] == "transformer"
    assert config["model"]["beta"] == 0.5
    fewer = _compose("train", "~data.features.delta_r", "+data.features.tanh_d0={}")
    assert fewer["model"]["features"][-1] == "tanh_d0"
    assert make_model(model_settings(fewer["model"])).parameter_counts()["total"] == 205_155
