from __future__ import annotations

import sys

import pytest

from anomaly_hep import cli
from anomaly_hep.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.betta=1", r"model.betta does not exist. Did you mean beta\? Keys of model: .*beta"),
        ("sead=1", r"sead does not exist. Did you mean seed\? Keys of train: .*seed"),
        ("data.features.log_p=1", r"Keys of data.features: delta_eta.*log_pt"),
        ("model=gan", r"Available options in 'model':\s+cct\s+clipvae"),
        ("experiment=table9", r"setvae_table1"),
        ("model.beta", r"write overrides as key=value"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_list_of_what_does(
    override: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        cli._check_overrides("train", [override])


@pytest.mark.parametrize(
    "override",
    [
        "model.beta=0,0.5,1",
        "model=setvae,clipvae",
        "seed=range(1,4)",
        "+trainer.limit_val_batches=2",
    ],
)
def test_what_exists_and_sweeps_of_it_pass(override: str) -> None:
    cli._check_overrides("train", [override])


def test_an_unknown_command_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["anomaly_hep", "scores"])
    with pytest.raises(SystemExit, match=r"Did you mean score\?.*simulate"):
        cli.main()


def test_help_lists_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["anomaly_hep"])
    cli.main()
    printed = capsys.readouterr().out
    assert all(name in printed for name in cli.COMMANDS)


def test_doctor_says_what_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["anomaly_hep", "doctor"])
    cli.main()
    assert "pythia8mc" in capsys.readouterr().out
