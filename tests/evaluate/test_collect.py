"""Many runs: which are taken, how they are grouped, and the arithmetic of their spread."""

from __future__ import annotations

import errno
import json
import shutil
import statistics

import pandas as pd
import pytest
from tests.evaluate.fake_run import fake_run

from anomaly_hep.errors import MissingDataError
from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.evaluate.collect import collect
from anomaly_hep.evaluate.ensembles import ensembles_of, find_runs
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.overseeds import OverSeeds

KEY = "efficiency_at_rejection_100"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Three seeds of Set-VAE, one CLIP-VAE, one failed, one unfinished and one repeated run."""
    directory = tmp_path_factory.mktemp("sweep")
    for seed in (1, 2, 3):
        fake_run(directory / f"set{seed}", model="setvae", seed=seed, events=300)
    fake_run(directory / "clip" / "deep", seed=1, events=300)
    failed = fake_run(directory / "failed", model="setvae", seed=4, events=300)
    (failed / "done.json").unlink()
    (failed / "error.txt").write_text("Traceback ...\nNonFiniteError: loss is NaN at step 7\n")
    killed = fake_run(directory / "killed", model="setvae", seed=5, events=300)
    (killed / "done.json").unlink()
    fake_run(directory / "set3again", model="setvae", seed=3, events=300)
    (directory / ".hydra").mkdir()
    shutil.copy(killed / "config.yaml", directory / ".hydra" / "config.yaml")
    return directory


@pytest.fixture(scope="module")
def table(sweep):
    return collect(sweep)


def values(sweep, signal, score="chamfer"):
    found = [json.loads((sweep / f"set{seed}" / "metrics.json").read_text()) for seed in (1, 2, 3)]
    return [metrics["scores"][score][signal][KEY][0] for metrics in found]


def test_the_spread_of_seeds_and_the_interval_of_the_events_are_two_things():
    found = OverSeeds.of([Interval(0.1, 0.06, 0.2), Interval(0.2, 0.12, 0.24), Interval(0.6, 0, 1)])
    assert found.seed_spread == pytest.approx(0.07**0.5)
    # half widths below 0.04, 0.08, 0.6; above 0.1, 0.04, 0.4
    assert found.interval == pytest.approx((0.3, 0.3 - 0.24, 0.3 + 0.18))


def test_what_does_not_spread_keeps_its_interval():
    one = Interval(0.2, 0.1, 0.4)
    assert OverSeeds.of([one]) == OverSeeds.of([one, one]) == OverSeeds(one, None)
    assert OverSeeds.of([one, None]) == OverSeeds(None, None)


def test_table_has_seeds_together_and_published_rows_beside(table, sweep):
    names = [row.name for row in table.rows]
    assert names == [
        "CLIP-VAE: KL divergence (1 seed)",
        "  paper Table 2",
        "CLIP-VAE: Chamfer loss (1 seed)",
        "CLIP-VAE: total loss (1 seed)",
        "Set-VAE: Chamfer loss (3 seeds)",
        "  spread of seeds",
        "  paper Table 1",
        "Set-VAE: KL divergence (3 seeds)",
        "  spread of seeds",
        "Set-VAE: total loss (3 seeds)",
        "  spread of seeds",
        "N-subjettiness",
        "  paper Table 2",
        "soft-drop mass",
        "multiplicity",
    ]
    measured = values(sweep, "Tbl")
    cell, spread = table.rows[4].cells["Tbl"], table.rows[5].cells["Tbl"]
    digits = len(cell.value.partition(".")[2])
    assert cell.value == f"{100 * statistics.mean(measured):.{digits}f}"
    digits = len(spread.value.partition(".")[2])
    assert spread == Cell(f"±{100 * statistics.stdev(measured):.{digits}f}", "")
    assert "'spread of seeds' their standard deviation" in table.remarks[0]
    assert not any("This is one training" in remark for remark in table.remarks)


def test_runs_left_out_are_listed(table, sweep):
    remarks = "\n".join(table.remarks)
    assert (
        f"{sweep / 'failed'} is left out, failed: NonFiniteError: loss is NaN at step 7" in remarks
    )
    assert f"{sweep / 'killed'} is left out, unfinished" in remarks
    assert f"{sweep / 'set3again'} is left out: it repeats {sweep / 'set3'}" in remarks
    assert ".hydra" not in remarks


def test_files_tell_the_same(table, sweep):
    assert "| **Set-VAE: Chamfer loss (3 seeds)** |" in (sweep / "collected.md").read_text()
    rows = pd.read_csv(sweep / "collected.csv")
    row = rows[(rows.ensemble == "Set-VAE") & (rows.score == "chamfer") & (rows.signal == "Tbl")]
    row = row[row.metric == KEY].iloc[0]
    assert row["mean"] == pytest.approx(statistics.mean(values(sweep, "Tbl")))
    assert row["seed_spread"] == pytest.approx(statistics.stdev(values(sweep, "Tbl")))
    assert row["low"] < row["mean"] < row["high"]
    single = rows[(rows.ensemble == "CLIP-VAE") & (rows.section == "scores")]
    assert single.seed_spread.isna().all()
    assert (row["runs"], row["seeds"]) == (3, "1 2 3")
    content = json.loads((sweep / "collected.json").read_text())
    assert len(content["results"]) == len(rows)
    states = {run["path"]: run["status"] for run in content["runs"]}
    assert states[str(sweep / "failed")] == "failed"
    assert states[str(sweep / "killed")] == "unfinished"
    assert sum(status == "finished" for status in states.values()) == 5


def test_figures_of_set_against_clip_are_drawn(table, sweep):
    for name in ("collected_kl_roc.png", "collected_reconstruction_kl.png"):
        assert (sweep / name).stat().st_size > 10_000
    assert any("Figures of Set-VAE against CLIP-VAE are made from" in r for r in table.remarks)


def test_runs_tested_on_different_jets_are_not_compared_in_one_figure(tmp_path):
    fake_run(tmp_path / "set", model="setvae", events=300)
    fake_run(tmp_path / "clip", events=310)
    table = collect(tmp_path)
    assert any("tested on different jets" in remark for remark in table.remarks)
    names = [row.name for row in table.rows if row.section == "baselines"]
    assert "N-subjettiness, jets of Set-VAE" in names
    assert "N-subjettiness, jets of CLIP-VAE" in names
    assert not (tmp_path / "collected_kl_roc.png").exists()


def test_runs_are_named_by_what_differs(tmp_path):
    for beta, scale in ((0.08, 1), (0.5, 1), (0.5, 2)):
        run = fake_run(tmp_path / f"{beta}-{scale}", seed=scale, events=200)
        text = (run / "config.yaml").read_text().replace("beta: 0.08", f"beta: {beta}")
        (run / "config.yaml").write_text(text + f"  seed: {scale}\nlogger: {scale}\n")
    ensembles, remarks = ensembles_of(find_runs(tmp_path))
    assert [(e.name, [run.seed for run in e.runs]) for e in ensembles] == [
        ("CLIP-VAE, beta=0.08", [1]),
        ("CLIP-VAE, beta=0.5", [1, 2]),
    ]
    assert remarks == []


def test_runs_that_differ_in_much_are_named_by_directory(tmp_path):
    for name in ("one", "two"):
        run = fake_run(tmp_path / "sweep" / name, events=200)
        choices = "".join(f"  key{i}: {name}\n" for i in range(5))
        (run / "config.yaml").write_text((run / "config.yaml").read_text() + choices)
    table = collect(tmp_path)
    assert table.rows[0].name == "CLIP-VAE in sweep/one: KL divergence (1 seed)"
    assert any("see collected.json" in remark for remark in table.remarks)
    ensembles = json.loads((tmp_path / "collected.json").read_text())["ensembles"]
    assert ensembles["CLIP-VAE in sweep/two"] == {f"data.key{i}": "two" for i in range(5)}


def test_a_damaged_run_is_listed_not_fatal(tmp_path):
    fake_run(tmp_path / "good", events=300)
    bad = fake_run(tmp_path / "bad", events=300)
    (bad / "metrics.json").write_text('{"scores"')
    table = collect(tmp_path)
    assert any(
        f"{bad} is left out, unreadable: {bad}/metrics.json is damaged" in r for r in table.remarks
    )


def test_nothing_finished_is_an_error_that_lists_what_is_there(tmp_path):
    run = fake_run(tmp_path / "one", events=300)
    (run / "done.json").unlink()
    with pytest.raises(MissingDataError, match=r"no finished run below .*\n.*unfinished"):
        collect(tmp_path)
    with pytest.raises(MissingDataError, match="not a directory"):
        collect(tmp_path / "nowhere")


def test_a_run_directory_itself_can_be_given(tmp_path):
    run = fake_run(tmp_path / "one", events=300)
    assert collect(run).rows[0].name == "CLIP-VAE: KL divergence (1 seed)"


def test_a_table_is_shown_where_nothing_can_be_written(tmp_path, monkeypatch):
    def refuse(path, text):
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr("anomaly_hep.evaluate.collect.write_text", refuse)
    table = collect(fake_run(tmp_path / "one", events=300))
    assert table.rows
    assert "collected.md: Permission denied" in table.remarks[-1]
