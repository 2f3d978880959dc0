"""`list` and `info`: what there is to choose from, private modules included."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from anomaly_hep import catalogue
from anomaly_hep.configuration import DIRECTORY, compose
from tests import runs

FOLDERS = {"models": "model", "data": "data", "experiments": "experiment"}


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_file_is_listed_with_what_it_is(tmp_path: Path, kind: str) -> None:
    listed = json.loads(runs.command(tmp_path, "list", kind, "--json"))[kind]
    files = sorted(path.stem for path in (DIRECTORY / FOLDERS[kind]).glob("*.yaml"))
    assert [entry["name"] for entry in listed] == files
    assert all(entry["summary"].endswith(".") for entry in listed)
    # what is said to choose it does
    for entry in listed:
        assert compose("train", [entry["choice"], *_beside(entry["choice"])])


def _beside(choice: str) -> list[str]:
    models = {"data=darkshowers": "model=codae", "data=darkmachines": "model=deepset_bvae"}
    return [models[choice]] if choice in models else []


def test_every_score_of_a_model_is_listed_once_with_its_unit() -> None:
    found = [(e.choice, e.name, e.facts["unit"]) for e in catalogue.scores() if e.kind == "score"]
    assert ("model=clipvae", "kl", "nats per latent dimension") in found
    assert len(found) == len(set(found)) == sum(len(model.scores) for model in catalogue.models())


def test_info_has_keys_with_defaults_and_scores(tmp_path: Path) -> None:
    (entry,) = json.loads(runs.command(tmp_path, "info", "clipvae", "--json"))
    assert entry["keys"]["model.beta"] == 0.08
    assert entry["keys"]["model._target_"] == "anomaly_hep.models.clipvae.CLIPVAE"
    assert next(iter(entry["scores"])) == "kl"
    assert entry["scores"]["kl"] == {"title": "KL divergence", "unit": "nats per latent dimension"}
    printed = runs.command(tmp_path, "info", "clipvae")
    for word in ("model=clipvae", "CLIP-VAE", "model.beta", "0.08", "KL divergence"):
        assert word in printed


def test_an_experiment_says_what_it_sets() -> None:
    (entry,) = catalogue.find("setvae_table1")
    assert entry.keys["model"] == "setvae"
    assert entry.keys["trainer.limit_train_batches"] == 5000


def test_a_score_is_found_under_each_model_that_has_it() -> None:
    found = {entry.choice for entry in catalogue.find("kl")}
    assert found == {
        f"model={name}" for name in ("antelope", "clipvae", "deepset_bvae", "ibvae", "setvae")
    }


def test_a_name_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    printed = runs.command(tmp_path, "info", "clipva", expect=1)
    assert printed.startswith("ConfigError: there is no 'clipva'. Did you mean clipvae? Cure:")


def test_a_kind_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "invalid choice: 'model'" in runs.command(tmp_path, "list", "model", expect=2)


def test_private_models_are_listed_composed_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "own_models"
    (package / "conf" / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(
        "from anomaly_hep.models.setvae import SetVAE\n\n\n"
        'class Mine(SetVAE):\n    """Set-VAE under another name."""\n\n    title = "Mine"\n'
    )
    (package / "conf" / "model" / "mine.yaml").write_text(
        "# What differs from Set-VAE.\ndefaults: [setvae, _self_]\n"
        "name: mine\n_target_: own_models.mine.Mine\nbeta: 0.5\n"
    )
    metadata = tmp_path / "own_models-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own-models\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[anomaly_hep.models]\nmine = own_models.mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    (entry,) = catalogue.find("mine")
    assert entry.summary == "Set-VAE under another name."
    assert entry.facts["title"] == "Mine"
    assert compose("train", ["model=mine"])["model"]["beta"] == 0.5
    assert catalogue.find("setvae")
