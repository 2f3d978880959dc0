"""Every model of the house becomes firmware, or says in one line why it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from anomaly_hep.checking import data_settings
from anomaly_hep.commands.train import make_data
from anomaly_hep.configuration import compose
from anomaly_hep.data.plan import Slice
from anomaly_hep.errors import ConfigError, ExportError
from anomaly_hep.evaluate.thresholds import Thresholds
from anomaly_hep.formats import darkmachines, lhco_features
from anomaly_hep.fpga.build import build
from anomaly_hep.fpga.simulators import Simulator
from anomaly_hep.fpga.source import Source
from anomaly_hep.fpga.summary import FirmwareSummary
from tests.data.files import write_toy_boosted, write_toy_collisions, write_toys
from tests.formats.test_lhco_features import toy_features
from tests.fpga.models import SMALL, read_fpga_settings
from tests.models.jets import MODELS, make_model
from tests.toys import toy_objects

TINY = (
    "fpga=rtl", "fpga.constituents=3", "fpga.phi=[4]", "fpga.rho=[3]", "fpga.latent_dim=2",
    "fpga.float_starts=1", "fpga.float_steps=60", "fpga.quantized_steps=60", "fpga.rejection=10",
    "fpga.batch_size=64", "fpga.rtl.synthesis=false", "fpga.rtl.simulated_events=20",
)  # fmt: skip


def _objects(directory: Path) -> Path:
    for seed, name in enumerate(("background", "Zprime_tt_3000")):
        path = directory / "events" / f"{name}_chan1_000.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        darkmachines.write(path, [toy_objects(300, seed=seed, harder=1.0 + seed)])
    return directory


def _collisions(directory: Path) -> Path:
    """Write events and the features of their jets, of which the mass is one."""
    sizes = {"QCD": 400, "two_prong": 200}
    write_toy_collisions(directory, background=sizes["QCD"], signal=sizes["two_prong"])
    for label, number in sizes.items():
        path = lhco_features.features_path(directory / "events" / f"{label}_000.h5")
        lhco_features.write(path, [toy_features(number)])
    return directory


@dataclass(frozen=True)
class Case:
    """How a model is made small, its toy events with their mass, and a score besides its KL."""

    write: Callable[[Path], Path]
    mass: str
    score: str
    inputs: int  # of a constituent
    choices: tuple[str, ...] = ()


JETS = Case(write_toys, "jet_sdmass", "total", 4 + 8, SMALL)
CASES = {
    "setvae": JETS,
    "clipvae": JETS,
    "deepset_bvae": Case(_objects, "object_mass", "chamfer", 3 + 7, ("model.beta=0.5",)),
    "antelope": Case(_collisions, "mjj", "reconstruction", 3),
    "ibvae": Case(write_toy_boosted, "jet_mass", "mse", 4),
}


@contextmanager
def _timed(name: str) -> Iterator[None]:
    yield


def _run(name: str, directory: Path) -> Path:
    """Write toy events and the run of a model that was never trained; return its checkpoint."""
    case = CASES[name]
    case.write(directory)
    config = compose("train", [f"model={name}", *case.choices, "~data.simulation"])
    torch.manual_seed(3)
    settings = {key: value for key, value in config["model"].items() if key != "name"}
    model: Any = instantiate(settings, _recursive_=False, _convert_="all")
    data = {**config["data"], "dir": str(directory), "simulation": None, "if_missing": "error"}
    module = make_data(data_settings(data), config["seed"])
    (part,) = module.parts("train")[:1]
    events = module.reading.read(Slice(part.file, part.start, part.stop, 0))
    model.fit_inputs([module.reading.batch(events, np.arange(len(events)), part.path)[0]])
    content: dict[str, Any] = {
        "hyper_parameters": dict(model.hparams),
        "state_dict": model.state_dict(),
        "datamodule_hyper_parameters": dict(module.hparams),
    }
    model.on_save_checkpoint(content)
    checkpoint = directory / "run" / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    torch.save(content, checkpoint)
    (directory / "run" / "config.yaml").write_text(f"data: {{mass: {case.mass}}}\n")
    return checkpoint


@pytest.fixture(scope="module", params=list(CASES))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The name of a model, and the source that its run is."""
    checkpoint = _run(request.param, tmp_path_factory.mktemp(request.param))
    return request.param, Source.open(checkpoint, None)


@pytest.fixture(autouse=True)
def _without_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter is enough here; the simulation of each design takes half a minute."""
    monkeypatch.setattr(Simulator, "installed", property(lambda _: False))


def _built(source: Source, path: Path, *choices: str, rate: bool = False) -> FirmwareSummary:
    settings = read_fpga_settings(*TINY, *choices)
    thresholds = None
    if rate:
        thresholds = Thresholds("toys", "user", "QCD", 100, 100.0, 2e3, 4e4, {}, ())
        settings = replace(settings, rejection=20)
    build(source, settings, 1, path, _timed, {}, thresholds)
    return FirmwareSummary.read(path / "fpga.json")


def test_it_is_exact_from_the_score_of_its_encoder(tmp_path: Path) -> None:
    source = Source.open(_run("deepset_bvae", tmp_path / "toys"), None)
    found = _built(source, tmp_path)
    assert found.exact
    assert found.stages[0].implementation == "float model, all constituents: torch"
    assert found.remarks[0].startswith("The encoder learned the encoder's score in units of")
    assert found.model.score is None
    assert "learned:" not in (tmp_path / "report.html").read_text().split("</h1>")[0]


def test_it_is_exact_by_mass_and_rate_from_another_score(made: Any, tmp_path: Path) -> None:
    name, source = made
    score = CASES[name].score
    found = _built(source, tmp_path, f"fpga.teacher={score}", "fpga.decorrelate=mass", rate=True)
    assert found.exact
    assert found.model.score == score
    assert found.stages[0].implementation == f"float model's {score}, all constituents: torch"
    assert found.decorrelation is not None
    assert found.decorrelation.column == CASES[name].mass
    assert found.rate is not None
    assert (found.rate.wanted_hz, found.design.rejection) == (2e3, 20)
    ports = json.loads((tmp_path / "rtl" / "ports.json").read_text())["model_inp"]
    assert ports[-1]["name"] == "mass"
    assert len(found.design.ports) == CASES[name].inputs
    weighted = any("The events have weights (weight), which are" in r for r in found.remarks)
    assert weighted == (name == "deepset_bvae")
    of_event = [port.name for port in found.design.context]
    assert len(ports) == 3 * CASES[name].inputs + len(of_event) + 1
    assert [port["name"] for port in ports[-1 - len(of_event) : -1]] == of_event
    assert bool(of_event) == (name == "deepset_bvae")
    rows = [stage for stage in found.stages if stage.equal is not None]
    assert len(rows) >= 2
    assert all(stage.equal == stage.events > 50 for stage in rows)
    page = (tmp_path / "report.html").read_text()
    assert f"in firmware, learned: {found.model.learned}" in page


def test_a_score_that_it_lacks_is_refused(made: Any, tmp_path: Path) -> None:
    name, source = made
    with pytest.raises(ConfigError, match=rf"fpga\.teacher=none .*one of .*{CASES[name].score}"):
        _built(source, tmp_path, "fpga.teacher=none")


def test_what_is_of_the_whole_event_goes_to_the_rtl_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source.open(_run("deepset_bvae", tmp_path), None)
    for export in ("hls4ml", "finn"):
        settings = read_fpga_settings(f"fpga={export}")
        said = rf"fpga\.{export} has one input, .*missing_log10_pt, missing_phi.*Cure: fpga=rtl"
        with pytest.raises(ConfigError, match=said):
            source.settings(settings)


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(CASES)))
def test_others_say_why_they_cannot(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    model = make_model("data=darkshowers", f"model={name}")
    monkeypatch.setattr("anomaly_hep.fpga.source.load_model", lambda _: (model, None, None))
    with pytest.raises(ExportError) as refusal:
        Source.open(Path("best.ckpt"), None)
    said = str(refusal.value)
    assert said.startswith(f"best.ckpt holds {model.title}, which cannot become firmware: its ")
    assert "\n" not in said
    assert said.endswith("Cure: leave checkpoint out, and the newest finished run of a model that "
                         "can is taken")  # fmt: skip
    # the reason is the model's own, not what a class says that gives none
    assert "no integer form of its encoder is known" not in said


def test_data_without_constituents_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("model=ibvae")
    monkeypatch.setattr("anomaly_hep.fpga.source.load_model", lambda _: (model, object(), None))
    with pytest.raises(ExportError, match=r"which has no constituents .*Cure: a run on data that"):
        Source.open(Path("best.ckpt"), None)
