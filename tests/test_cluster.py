"""`cluster`: features beside files of events, on the published excerpt and on bad input."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from anomaly_hep.commands import cluster
from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError, MissingToolError
from anomaly_hep.formats import files, lhco, lhco_features
from anomaly_hep.settings import ClusterSettings
from tests.formats.test_lhco import TINY, toys

JETS = "anomaly_hep.simulate.lhco_jets"


def run(files: Any, **others: Any) -> None:
    cluster.run(ClusterSettings(**{"files": files, "clustering": JETS, "workers": 1, **others}))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tasks done in this process, which is quicker than to start workers."""

    def pool(workers: int, **_: object) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(workers)

    monkeypatch.setattr(cluster, "ProcessPoolExecutor", pool)


@pytest.mark.usefixtures("threads")
def test_the_published_excerpt_has_the_published_masses(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Z'(3.5 TeV) -> X(500 GeV) Y(100 GeV), each in one jet; a jet has more than 1.2 TeV."""
    path = tmp_path / TINY
    path.write_bytes((shared_data / "lhco" / TINY).read_bytes())
    run(str(path))
    assert "1,000 events" in capsys.readouterr().out
    names = ["mjj", "mj1", "mj2", "pxj1", "pyj1", "tau1j1", "tau2j1", "truth"]
    found = files.read(path, 0, 1000, names).events
    light, heavy = np.sort(np.stack([found["mj1"], found["mj2"]]), axis=0)
    signal = found["truth"] == 1
    assert np.median(heavy[signal]) == pytest.approx(500, abs=15)
    assert np.median(light[signal]) == pytest.approx(100, abs=15)
    assert np.median(found["mjj"][signal]) == pytest.approx(3500, abs=100)
    assert np.hypot(found["pxj1"], found["pyj1"]).min() == pytest.approx(1200, abs=1)
    tau21 = found["tau2j1"] / found["tau1j1"]
    assert np.median(tau21[signal]) < 0.4 < np.median(tau21[~signal])


def test_worker_processes_make_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lhco.write(tmp_path / "a.h5", [toys(30)])
    monkeypatch.setattr(cluster, "_EVENTS", 16)
    run([str(tmp_path / "*.h5")], workers=2)
    from anomaly_hep.simulate.lhco_jets import features

    found = files.read(tmp_path / "a.features.h5", 0, 30, list(lhco_features.STORED)).events
    for name, values in features(toys(30)).items():
        assert np.array_equal(found[name], values), name


@pytest.mark.usefixtures("threads")
def test_complete_files_are_left_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        lhco.write(tmp_path / f"{name}.h5", [toys(5)])
    run(str(tmp_path / "a.h5"))
    before = (tmp_path / "a.features.h5").stat().st_mtime_ns
    run(str(tmp_path / "*.h5"))  # the features of a are among these
    assert (tmp_path / "a.features.h5").stat().st_mtime_ns == before
    assert capsys.readouterr().out.endswith("1 files were complete, 1 made now\n")


@pytest.mark.usefixtures("threads")
def test_impossible_events_have_zeros_and_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lhco.write(tmp_path / "a.h5", [toys(5)])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["df/block0_values"][1, 0] = np.nan
        file["df/block0_values"][3, :2100] = 0
    run(str(tmp_path / "a.h5"))
    assert "5 events, 2 of them impossible" in capsys.readouterr().out
    pt = files.read(tmp_path / "a.features.h5", 0, 5, ["pxj1"]).events["pxj1"]
    assert (pt == 0).tolist() == [False, True, False, True, False]


@pytest.mark.usefixtures("threads")
def test_a_damaged_file_leaves_no_features(tmp_path: Path) -> None:
    lhco.write(tmp_path / "a.h5", [toys(200)])
    with h5py.File(tmp_path / "a.h5") as file:
        where = file["df/block0_values"].id.get_chunk_info(1).byte_offset
    with (tmp_path / "a.h5").open("rb+") as raw:
        raw.seek(where)
        raw.write(b"\xff" * 64)
    with pytest.raises(BadFileError, match="damaged"):
        run(str(tmp_path / "a.h5"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.usefixtures("threads")
def test_features_of_other_events_are_not_replaced(tmp_path: Path) -> None:
    lhco.write(tmp_path / "a.h5", [toys(5)])
    run(str(tmp_path / "a.h5"))
    lhco.write(tmp_path / "a.h5", [toys(6)])
    with pytest.raises(BadFileError, match=r"has 5 rows for 6 events. Cure: remove it"):
        run(str(tmp_path / "a.h5"))


@pytest.mark.usefixtures("threads")
def test_what_cannot_be_clustered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"files=.*matches no file. Cure"):
        run(str(tmp_path / "*.h5"))
    lhco.write(tmp_path / "a.h5", [toys(5)])
    with pytest.raises(ConfigError, match=r"makes no features of jets. Cure"):
        run(str(tmp_path / "a.h5"), clustering="anomaly_hep.simulate.jets")
    run(str(tmp_path / "a.h5"))
    with pytest.raises(ConfigError, match=r"are files of features already. Cure"):
        run(str(tmp_path / "a.features.h5"))


def test_without_fastjet_the_cure_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastjet", None)
    for name in (JETS, "anomaly_hep.simulate.jets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingToolError, match=r"needs fastjet.*Cure: pip install fastjet"):
        run(str(tmp_path))
