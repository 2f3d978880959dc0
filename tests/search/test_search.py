from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anomaly_hep.errors import AnomalyHepError, ConfigError, ScoreTableError, SearchError
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.search.choices import Choices
from anomaly_hep.search.events import Cut, Sample, injected, mixture, read_events
from anomaly_hep.search.search import Search, search
from anomaly_hep.search.smooth import fit_edges
from tests import runs
from tests.search.fake_search_run import RESONANCE, falling_masses, mass_run, mass_table

CHOICES = Choices(
    score=None,
    efficiency=None,
    observed=None,
    signal=None,
    fraction=0.01,
    width=0.05,
    template=None,
    mass_range=None,
    energy=13000.0,
    toys=400,
    experiments=300,
    fractions=(0.0, 0.003, 0.01),
    seed=1,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mass_run(tmp_path_factory.mktemp("runs") / "dijets", mass_table(30000, 1500))


@pytest.fixture(scope="module")
def found(run: Path) -> Search:
    return search(RunFiles(run), CHOICES)


def test_an_injected_peak_is_found_at_its_mass_with_the_cut(found: Search) -> None:
    cut = found.results.cuts[1]
    assert cut.efficiency == 0.1
    assert cut.excess.mass == pytest.approx(RESONANCE, rel=0.03)
    assert cut.excess.local_z > 4
    assert cut.excess.global_z.value > 3
    assert cut.excess.local_z > found.results.cuts[0].excess.local_z
    # 303 events were injected, and the cut keeps 59 % of the signal: Phi(1.5 - 1.28)
    assert cut.excess.signal_events == pytest.approx(303 * 0.587, rel=0.3)


def test_significance_grows_with_the_share_of_signal(found: Search) -> None:
    for cut in found.results.cuts:
        medians = [one.local_z.value for one in cut.injections]
        assert medians == sorted(medians)
        assert [one.fraction for one in cut.injections] == [0.0, 0.003, 0.01]
        assert cut.injections[0].signal_events == 0
        for one in cut.injections:
            assert one.local_z.low <= one.local_z.value <= one.local_z.high
    uncut, cut, _ = found.results.cuts
    assert cut.injections[2].global_z.value > uncut.injections[2].global_z.value + 1
    # S = f / (1 - f) B, of which the range keeps almost all
    assert uncut.injections[2].signal_events == pytest.approx(30000 / 99, rel=0.02)


def test_background_alone_exceeds_two_deviations_as_often_as_it_should(found: Search) -> None:
    for cut in found.results.cuts:
        rates = cut.false_positives
        for rate in (rates.local_toys, rates.anywhere):
            assert abs(rate.value - 0.02275) < 3.5 * np.sqrt(0.02275 * (1 / 300 + 1 / 400))
    uncut = found.results.cuts[0]
    parts = uncut.false_positives.parts
    assert parts == uncut.background_mass.events // 100
    in_parts = found.results.cuts[0].false_positives.in_parts
    assert in_parts is not None
    assert in_parts.value < 0.02275 + 3.5 * np.sqrt(0.02275 / parts)


def test_the_cut_comes_from_the_background_alone(run: Path, found: Search) -> None:
    table = RunFiles(run).table
    scores = np.sort(table.loc[table["label"] == "QCD", "score_chamfer"])[::-1]
    cut = found.results.cuts[2]
    assert cut.threshold == scores[299]
    assert cut.reached == pytest.approx(0.01)
    assert found.results.cuts[0].threshold is None


def test_what_is_written_is_the_same_for_the_same_choices(
    run: Path, found: Search, tmp_path: Path
) -> None:
    again = search(RunFiles(run), CHOICES)
    for number, one in enumerate((found, again)):
        one.write(tmp_path / str(number))
    for name in ("search.json", "workspace.json"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    content = json.loads((tmp_path / "0" / "search.json").read_text())
    assert content["origin"] == "simulated"
    assert "(simulated)" in content["data"]
    assert "pseudo-data" in content["observed"]
    last = content["cuts"][-1]["excess"]
    assert content["workspace_p"] == pytest.approx(last["local_p"], rel=0.05)


def test_a_score_that_shapes_the_mass_is_said(run: Path, tmp_path: Path) -> None:
    table = mass_table(30000, 0, seed=3)
    near = np.exp(-0.5 * ((table["mass"] - 3300) / 150) ** 2)
    table["score_chamfer"] += 20 * near
    made = mass_run(tmp_path / "shaped", pd.concat([table, mass_table(1, 1).tail(1)]))
    found = search(RunFiles(made), replace(CHOICES, efficiency=0.1, fraction=0.0, toys=200))
    cut = found.results.cuts[0]
    assert cut.background_fit.p.value < 0.01
    assert "does not describe the background at efficiency 0.1" in " ".join(found.results.notes)
    assert found.results.mass_before.mass.high > cut.background_mass.mass.high


def test_classes_as_they_are_can_be_the_data(run: Path) -> None:
    choices = replace(CHOICES, observed=("QCD", "Tbqq"), efficiency=0.1, toys=200)
    found = search(RunFiles(run), replace(choices, template="Tbqq", fractions=()))
    assert found.results.observed == "QCD and Tbqq"
    assert found.results.template == "Tbqq"
    assert found.results.cuts[0].excess.local_z > 15
    assert not found.results.cuts[0].injections


def test_few_events_leave_out_the_tight_cuts_and_say_so(tmp_path: Path) -> None:
    made = mass_run(tmp_path / "few", mass_table(2500, 300))
    found = search(RunFiles(made), replace(CHOICES, toys=200, fractions=()))
    assert [cut.efficiency for cut in found.results.cuts] == [1.0, 0.1]
    assert "Left out: efficiency=0.01 leaves 1" in found.results.notes[0]
    with pytest.raises(SearchError, match=r"efficiency=0.01 leaves .* and a fit needs 50. Cure:"):
        search(RunFiles(made), replace(CHOICES, efficiency=0.01))


def test_weights_give_the_spectrum_of_the_events_that_they_stand_for(tmp_path: Path) -> None:
    # half of the events below 3 TeV are kept, with twice the weight
    table = mass_table(40000, 600, seed=5)
    rng = np.random.default_rng(0)
    thinned = (table["mass"] < 3000) & (table["label"] == "QCD")
    table["weight"] = np.where(thinned, 2.0, 1.0)
    table = table[~thinned | (rng.uniform(size=len(table)) < 0.5)]
    made = mass_run(tmp_path / "weighted", table)
    choices = replace(CHOICES, efficiency=1.0, fraction=0.0, toys=200)
    cut = search(RunFiles(made), choices).results.cuts[0]
    assert cut.background_fit.p.value > 0.01
    assert cut.false_positives.parts == 0
    assert cut.false_positives.in_parts is None


@pytest.mark.parametrize(
    ("change", "choices", "error", "said"),
    [
        ({"mass": None}, {}, SearchError, "has no column 'mass'. Cure: .* data.mass=COLUMN"),
        ({"mass": 3000.0}, {}, SearchError, "have the mass 3000 GeV, which is no spectrum"),
        ({"mass": np.nan}, {}, SearchError, "has no event of the background QCD with a mass"),
        ({"score_chamfer": np.nan}, {}, AnomalyHepError, "not finite"),
        ({"weight": -1.0}, {}, ScoreTableError, "no positive sum"),
        ({}, {"score": "nothing"}, ConfigError, "score=nothing is none of .*one of chamfer, total"),
        ({}, {"signal": "nothing"}, ConfigError, "signal=nothing is no class .* QCD, Tbqq"),
        ({}, {"signal": "QCD"}, ConfigError, "signal=QCD is the background. Cure: one of Tbqq"),
        ({}, {"observed": ("Hbb",)}, ConfigError, "observed=Hbb is no class"),
        ({}, {"template": "Hbb"}, ConfigError, "template=Hbb is no class"),
        ({}, {"fraction": 0.9}, SearchError, "needs 18000 signal .* Cure: fraction=0.13 or less"),
        ({}, {"mass_range": (8000.0, 8500.0)}, SearchError, "are too few for a fit"),
        ({}, {"mass_range": (2700.0, 2800.0)}, SearchError, "are too few for a fit"),
        ({}, {"energy": 5000.0}, SearchError, "beyond energy=5,000 GeV"),
        ({}, {"efficiency": 0.9, "width": 0.3, "mass_range": (2700.0, 7000.0)}, SearchError,
         "bins|leaves no mass"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_in_one_line(
    tmp_path: Path, change: dict, choices: dict, error: type[Exception], said: str
) -> None:
    made = mass_run(tmp_path / "run", mass_table(2000, 300))
    table = RunFiles(made).table.assign(**{k: v for k, v in change.items() if v is not None})
    table = table.drop(columns=[name for name, value in change.items() if value is None])
    table.to_parquet(made / "scores.parquet")
    with pytest.raises(error, match=said) as caught:
        search(RunFiles(made), replace(CHOICES, toys=100, experiments=100, **choices))
    assert "\n" not in str(caught.value)


def test_events_without_a_mass_are_counted(tmp_path: Path) -> None:
    table = mass_table(3000, 300)
    table.loc[:9, "mass"] = np.nan
    table.loc[10:14, "mass"] = 0.0
    made = mass_run(tmp_path / "holes", table)
    assert read_events(RunFiles(made), None).left_out == 15
    found = search(RunFiles(made), replace(CHOICES, toys=100, experiments=100, efficiency=1.0))
    assert found.results.notes[0] == "15 of 3,300 events have no mass above 0 GeV: left out."


def test_equal_scores_pass_a_cut_together() -> None:
    sample = Sample(np.ones(10), np.repeat([1.0, 2.0], 5), np.ones(10))
    cut = Cut.at(sample, 0.2)
    assert (cut.threshold, cut.reached) == (2.0, 0.5)
    assert len(cut.passed(sample)) == 5


def test_a_mixture_has_the_share_asked_for_and_no_event_twice() -> None:
    rng = np.random.default_rng(0)
    background, signal = (
        Sample(rng.uniform(size=n), np.arange(float(n)), np.full(n, w))
        for n, w in ((990, 2.0), (40, 0.5))
    )
    mixed = mixture(background, signal, 0.01, [1])
    assert len(mixed) == 1000
    assert mixed.weight == pytest.approx(2.0)
    assert len(np.unique(mixed.mass)) == 1000
    assert injected(990, 0.01) == pytest.approx(10)


def test_the_range_begins_where_the_spectrum_is_smooth() -> None:
    masses = falling_masses(60000, np.random.default_rng(1))
    sample = Sample(masses, masses, np.ones(60000))
    edges = fit_edges(sample, 0.025, 13000.0, None)
    # the turn-on of the toys is over, to 1 %, at 2450 + 60 ln 100 = 2726 GeV
    assert 2500 < edges[0] < 2900
    assert edges[-2] < masses.max() <= edges[-1]


def test_the_command_writes_everything_and_prints_three_tables(run: Path, tmp_path: Path) -> None:
    printed = runs.command(
        tmp_path, "search", f"run={run}", "toys=200", "experiments=100", "name=first",
        "efficiency=[1,0.1]",
    )  # fmt: skip
    assert "Toy dijets (simulated): QCD with 1 % Tbqq (pseudo-data), chamfer" in printed
    for words in ("rank correlation", "pseudo-experiments each", "nominal 2.28", "written to"):
        assert words in printed
    written = {path.name for path in (run / "search" / "first").iterdir()}
    assert written == {
        "search.json", "workspace.json", "spectrum.png", "pvalues.png", "injection.png",
    }  # fmt: skip


def test_the_command_refuses_a_run_that_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = runs.command(tmp_path, "search", "run=empty", expect=1)
    assert "empty holds no finished run. Cure: " in said
    assert "toys=5. Cure" in runs.command(tmp_path, "search", "run=a", "toys=5", expect=1)
    assert "efficiency" in runs.command(tmp_path, "search", "run=a", "efficiency=2", expect=1)
