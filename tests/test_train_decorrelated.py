"""Decorrelated scores and trigger thresholds, from the command line to scores of new files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import uproot

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.evaluate.thresholds import read_thresholds
from anomaly_hep.models.fits.companions import Decorrelation, decorrelation_of
from tests import runs
from tests.data.files import write_toys

MASS = "data.mass=jet_sdmass"
CHOICES = (
    "score.decorrelate=mass", MASS,
    "+fitted_scores.far={_target_: anomaly_hep.models.fitted.Mahalanobis, embedding: latent}",
)  # fmt: skip
NAMES = ["chamfer_decorrelated", "kl_decorrelated", "total_decorrelated", "far_decorrelated"]
RATES = ("rate_hz=25", "input_rate_hz=100")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_toys(tmp_path_factory.mktemp("decorrelated"))
    command = runs.train_command("data.dir=.", "run_dir=run", *runs.TWO_CLASSES, *CHOICES)
    printed = runs.train_here(command, directory)
    assert " scores decorrelated from jet_sdmass: behind the cut" in " ".join(printed.split())
    return directory / "run"


def test_every_score_has_a_companion_that_is_evaluated(run: Path) -> None:
    table, files = pd.read_parquet(run / "scores.parquet"), RunFiles(run)
    for name in NAMES:
        assert np.isfinite(table[f"score_{name}"]).all()
        assert set(files.results.scores[name]["Hbb"]) >= {"auc"}
        plain = name.removesuffix("_decorrelated")
        assert files.descriptions[name].title == f"{plain}, decorrelated from jet_sdmass"
    assert files.results.default_score == "kl"
    assert set(files.ledger["fits"]) == {*NAMES, "chamfer_sum_decorrelated"}
    assert files.ledger["outside_of_fits"]["events"] == len(table)
    assert "decorrelated from jet_sdmass" in (run / "report.html").read_text()


def test_new_files_get_the_same_scores(run: Path) -> None:
    runs.command(
        run.parent, "score", "checkpoint=run/checkpoints/best.ckpt",
        "input=test/HToBB_000.root", "output=new.parquet",
    )  # fmt: skip
    table, new = (
        pd.read_parquet(run / "scores.parquet"),
        pd.read_parquet(run.parent / "new.parquet"),
    )
    before = table[table["label"] == "Hbb"].reset_index(drop=True)
    for name in NAMES:
        np.testing.assert_allclose(new[f"score_{name}"], before[f"score_{name}"], rtol=1e-4)


def test_a_file_without_the_mass_is_refused(run: Path) -> None:
    directory = run.parent
    with uproot.open(directory / "test" / "HToBB_000.root") as whole:
        columns = whole["tree"].arrays()
    with uproot.recreate(directory / "massless.root") as massless:
        kept = {n: columns[n] for n in columns.fields if n != "jet_sdmass"}
        massless.mktree("tree", {n: values.type for n, values in kept.items()}).extend(kept)
    printed = runs.command(
        directory, "score", "checkpoint=run/checkpoints/best.ckpt", "input=massless.root",
        "output=refused.parquet", expect=1,
    )  # fmt: skip
    assert "jet_sdmass" in printed
    assert "Cure" in printed
    assert len(printed.strip().splitlines()) == 1


def test_a_threshold_for_a_rate_is_written_and_applied_to_new_files(run: Path) -> None:
    directory = run.parent
    printed = runs.command(directory, "rate", "run=run", *RATES, "score=[kl,kl_decorrelated]")
    assert "For information" in printed
    made, table = read_thresholds(run / "threshold.json"), pd.read_parquet(run / "scores.parquet")
    assert list(made.cuts) == ["kl", "kl_decorrelated"]
    background = table[table["label"] == "QCD"]
    for one in made.thresholds:
        passed = (background[f"score_{one.score}"] > one.threshold.value).mean()
        assert passed <= 0.25
        assert 100 * passed == pytest.approx(one.rate_hz.value)
    files = sorted(str(path.relative_to(directory)) for path in directory.glob("test/ZJets*.root"))
    for output in ("kept.parquet", "kept.h5", "kept.root", "kept.csv"):
        said = runs.command(
            directory, "score", "checkpoint=run/checkpoints/best.ckpt",
            f"input=[{','.join(files)}]", f"output={output}", "threshold=run/threshold.json",
        )  # fmt: skip
        number = int((background["score_kl"] > made.cuts["kl"]).sum())
        assert f"{number:,} of {len(background):,} scored events pass kl > " in said
    kept = pd.read_parquet(directory / "kept.parquet")
    assert kept["pass_kl"].dtype == bool
    assert kept["pass_kl"].sum() == number
    assert (kept["pass_kl"] == (kept["score_kl"] > made.cuts["kl"])).all()


def test_a_threshold_of_another_model_or_score_is_refused(run: Path) -> None:
    directory = run.parent
    runs.command(directory, "rate", "run=run", *RATES)
    other = directory / "other" / "checkpoints"
    other.mkdir(parents=True)
    content = (run / "checkpoints" / "best.ckpt").read_bytes()
    (other / "best.ckpt").write_bytes(content)
    path = json.loads((run / "threshold.json").read_text())
    path["files"]["model"] = "0" * 64
    (directory / "other" / "threshold.json").write_text(json.dumps(path))
    printed = runs.command(
        directory, "score", "checkpoint=other/checkpoints/best.ckpt",
        "input=test/HToBB_000.root", "output=no.parquet", "threshold=other/threshold.json",
        expect=1,
    )  # fmt: skip
    assert "belongs to another model" in printed
    assert not (directory / "no.parquet").exists()
    for choice, said in {
        "rate_hz=1": "10 are needed. Cure: rate_hz=",
        "rate_hz=100": "is not below input_rate_hz=100",
        "score=no": "score=no is not in this run. Cure: choose from chamfer, ",
    }.items():
        printed = runs.command(directory, "rate", "run=run", *RATES, choice, expect=1)
        assert said in printed
        assert len(printed.strip().splitlines()) == 1


def test_what_cannot_be_decorrelated_is_refused_before_training(tmp_path: Path) -> None:
    directory = write_toys(tmp_path)
    taken = (
        "+fitted_scores.kl_decorrelated="
        "{_target_: anomaly_hep.models.fitted.Mahalanobis, embedding: latent}"
    )
    for choices, said in {
        ("data.mass=null",): "data.mass is null, so no column holds the mass",
        (MASS, taken): "fitted_scores.kl_decorrelated has the name that score.decorrelate=mass",
        ("data.mass=jet_mass_of_none",): "the branch is missing, from which scores are decorr",
    }.items():
        command = runs.train_command(
            "data.dir=.", "run_dir=run", *runs.TWO_CLASSES, "score.decorrelate=mass", *choices
        )
        printed = runs.train_here(command, directory, expect=1)
        assert said in printed
        assert "Cure" in printed
        assert not (directory / "run" / "checkpoints").exists() or not any(
            (directory / "run" / "checkpoints").glob("*.ckpt")
        )


def test_companions_of_every_score_are_added_once() -> None:
    fitted = {"far": {"_target_": "a.B"}}
    added = Decorrelation("m", "flow").added(fitted, ["kl"])
    assert list(added) == ["far", "kl_decorrelated", "far_decorrelated"]
    assert added["far_decorrelated"] == {
        "_target_": "anomaly_hep.models.fitted.MassFlow", "score": "far", "mass": "m"
    }  # fmt: skip


def test_a_run_of_an_earlier_version_has_no_companions() -> None:
    assert decorrelation_of({"data": {"name": "toy"}}) is None
    chosen = {"score": {"decorrelate": "mass", "method": "table"}, "data": {"mass": "m"}}
    assert decorrelation_of(chosen) == Decorrelation("m", "table")
    with pytest.raises(ConfigError, match=r"Cure: data\.mass=COLUMN"):
        decorrelation_of({**chosen, "data": {}})
