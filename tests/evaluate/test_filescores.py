"""Scores of whole files: every event has its row, its identity, and its own columns unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.faults.injections import Columns, write_foreign
from tests.modules import module_of
from tests.toys import toy_jets
from tests.trainings import ToyModel, two_phases

from anomaly_hep.errors import BadFileError, ConfigError, TooManyBadFilesError
from anomaly_hep.evaluate.filescores import FileScores, distinct_names
from anomaly_hep.evaluate.scores import Scorer
from anomaly_hep.formats import jetclass

LARGE = 2**63 - 5  # no float64 holds it


@pytest.fixture(scope="module")
def scorer_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Scorer]:
    reading = module_of("jetclass", tmp_path_factory.mktemp("none")).reading
    model = ToyModel(phases=two_phases(), seed=1).eval()
    return lambda: Scorer(model, reading, 64)


def scored(scorer: Scorer, paths: Sequence[Path], **choices: Any) -> tuple[pa.Table, FileScores]:
    scores = FileScores(scorer, paths, **choices)
    return pa.concat_tables([scores.schema.empty_table(), *scores.tables()]), scores


def with_identity(columns: Columns) -> None:
    """Add what experiments identify an event by, and what nobody scores."""
    number = len(columns["jet_pt"])
    columns["run"] = np.full(number, 2**32 - 2, np.uint32)
    columns["lumi"] = np.arange(number, dtype=np.uint16)
    columns["event"] = LARGE - np.arange(number)
    columns["jet_sdmass"] = np.full(number, np.nan, np.float32)


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_identities_are_carried_in_their_own_type(
    scorer_of: Callable[[], Scorer], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    write_foreign(path, with_identity)
    table, scores = scored(scorer_of(), [path])
    assert table["run"].type == pa.uint32()
    assert table["event"].type == pa.int64()
    assert table["event"].to_pylist() == (LARGE - np.arange(1200)).tolist()
    assert table["entry"].to_pylist() == list(range(1200))
    assert table["event_id"][1199].as_py() == "a:1199"
    assert np.isnan(table["jet_sdmass"].to_numpy()).all()
    assert np.isfinite(table["score_distance"].to_numpy()).all()
    assert not any(name.startswith(("label_", "aux_", "part_")) for name in table.column_names)
    assert not scores.remarks


def text(columns: Columns) -> None:
    columns["tag"] = pa.array([f"jet {i}" for i in range(1200)])


def nulls(columns: Columns) -> None:
    columns["weight"] = pa.array([None, *range(1, 1200)], pa.int32())


def lists(columns: Columns) -> None:
    columns["jet_subjets"] = pa.array([[1.0]] * 1200)


@pytest.mark.parametrize(
    ("change", "name", "first"),
    [(text, "tag", "jet 0"), (nulls, "weight", None), (lists, "jet_subjets", "left out")],
)
def test_no_column_that_is_not_needed_refuses_a_file(
    scorer_of: Callable[[], Scorer], tmp_path: Path, change: Any, name: str, first: Any
) -> None:
    path = tmp_path / "a.parquet"
    write_foreign(path, change)
    table, scores = scored(scorer_of(), [path])
    if first == "left out":
        assert name not in table.column_names
        (remark,) = scores.remarks
        assert f"column {name} is left out" in remark
    else:
        assert table[name][0].as_py() == first


def test_chosen_columns_go_along_and_no_others(
    scorer_of: Callable[[], Scorer], tmp_path: Path
) -> None:
    path = tmp_path / "a.root"
    jetclass.write(path, [toy_jets(5)])
    table, _ = scored(scorer_of(), [path], carry=["label_Hbb", "jet_tau1"])
    assert table.column_names == [
        "event_id", "file", "entry", "label_Hbb", "jet_tau1", "score_distance",
    ]  # fmt: skip
    assert table["label_Hbb"].type == pa.bool_()
    with pytest.raises(BadFileError, match="nearest is 'jet_tau"):
        scored(scorer_of(), [path], carry=["jet_taus"])
    with pytest.raises(ConfigError, match="carry=part_px: it has not one number"):
        scored(scorer_of(), [path], carry=["part_px"])


def test_a_column_with_the_name_of_a_score_does_not_replace_it(
    scorer_of: Callable[[], Scorer], tmp_path: Path
) -> None:
    path = tmp_path / "a.root"

    def change(columns: Columns) -> None:
        columns["score_distance"] = columns["entry"] = np.full(1200, -1.0)

    write_foreign(path, change)
    table, scores = scored(scorer_of(), [path])
    assert min(table["score_distance"].to_numpy()) >= 0
    assert len(scores.remarks) == 2


def test_files_of_one_name_have_different_ids(
    scorer_of: Callable[[], Scorer], tmp_path: Path
) -> None:
    paths = [tmp_path / name / "part_0.root" for name in ("a", "b")]
    for seed, path in enumerate(paths):
        path.parent.mkdir()
        jetclass.write(path, [toy_jets(3, seed=seed)])
    table, _ = scored(scorer_of(), paths)
    assert table["event_id"].to_pylist() == [f"{d}/part_0:{i}" for d in "ab" for i in range(3)]


def test_names_say_what_paths_do_not_share() -> None:
    def names(*paths: str) -> list[str]:
        return list(distinct_names([Path(path) for path in paths]).values())

    assert names("/d/x.root") == ["x"]
    assert names("/d/x.root", "/d/y.root") == ["x", "y"]
    assert names("/d/x.root", "/d/x.parquet") == ["x.root", "x.parquet"]
    assert names("/d/e/x.root", "/d/x.root") == ["e/x", "x"]


def test_many_small_files_are_scored_as_each_by_itself(
    scorer_of: Callable[[], Scorer], tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.root" for number in range(5)]
    for number, path in enumerate(paths):
        jetclass.write(path, [toy_jets(number, seed=number)])  # the first is empty
    together, scores = scored(scorer_of(), paths)
    alone = pa.concat_tables([scored(scorer_of(), [path])[0] for path in paths])
    assert together.column_names == alone.column_names
    for name in together.column_names:
        if name == "score_distance":  # other batches round otherwise
            np.testing.assert_allclose(together[name], alone[name], rtol=1e-5)
        else:
            assert together[name].to_pylist() == alone[name].to_pylist()
    assert scores.scorer.counts.events == 0 + 1 + 2 + 3 + 4


def test_a_bad_event_keeps_its_row_without_scores(
    scorer_of: Callable[[], Scorer], tmp_path: Path
) -> None:
    path = tmp_path / "a.root"

    def change(columns: Columns) -> None:
        columns["jet_pt"] = columns["jet_pt"].copy()
        columns["jet_pt"][[3, 900]] = -1.0

    write_foreign(path, change)
    with pytest.raises(BadFileError, match=r"entry 3: the value -1\.0 must be above 0"):
        scored(scorer_of(), [path])
    table, scores = scored(scorer_of(), [path], on_bad_event="skip")
    assert np.flatnonzero(np.isnan(table["score_distance"].to_numpy())).tolist() == [3, 900]
    assert table["jet_pt"][900].as_py() == -1.0
    assert scores.scorer.left_out.events == 2
    with pytest.raises(TooManyBadFilesError, match="2 of 1,200 events are impossible"):
        scored(scorer_of(), [path], on_bad_event="skip", max_bad_fraction=1e-4)


def test_a_bad_file_is_left_out_and_named(scorer_of: Callable[[], Scorer], tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.root" for name in "abc"]
    for seed, path in enumerate(paths):
        jetclass.write(path, [toy_jets(4, seed=seed)])
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    with pytest.raises(BadFileError, match="Cure"):
        scored(scorer_of(), paths)
    with pytest.raises(TooManyBadFilesError, match="1 of 3 files are bad"):
        scored(scorer_of(), paths, on_bad_file="skip")
    table, scores = scored(scorer_of(), paths, on_bad_file="skip", max_bad_fraction=0.5)
    assert {*table["file"].to_pylist()} == {str(paths[0]), str(paths[2])}
    assert [error.path for error in scores.refused] == [paths[1]]


def test_files_with_other_columns_say_so(scorer_of: Callable[[], Scorer], tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.parquet", nulls)
    write_foreign(tmp_path / "b.parquet", text)
    table, scores = scored(scorer_of(), [tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert table["weight"].null_count == 1 + 1200
    assert "column weight is missing in some files: it is empty there" in scores.remarks


def test_the_same_events_in_two_files_are_told(
    scorer_of: Callable[[], Scorer], tmp_path: Path
) -> None:
    jetclass.write(tmp_path / "a.root", [toy_jets(4)])
    (tmp_path / "b.root").write_bytes((tmp_path / "a.root").read_bytes())
    table, scores = scored(scorer_of(), [tmp_path / "a.root", tmp_path / "b.root"])
    assert len({*table["event_id"].to_pylist()}) == 8
    (remark,) = scores.remarks
    assert remark.startswith("a file holds the same events as another")
    assert "b.root and" in remark


def test_a_file_of_several_names_is_scored_once(
    scorer_of: Callable[[], Scorer], tmp_path: Path
) -> None:
    path = tmp_path / "a.root"
    jetclass.write(path, [toy_jets(4)])
    (tmp_path / "link.root").symlink_to("a.root")
    (tmp_path / "hard.root").hardlink_to(path)
    spelled = tmp_path / ".." / tmp_path.name / "a.root"
    paths = [path, tmp_path / "link.root", tmp_path / "hard.root", spelled]
    table, scores = scored(scorer_of(), paths)
    assert len(table) == 4
    assert list(scores.remarks) == ["3 inputs are files that others name, too"]


def test_values_beyond_their_clip_are_told(scorer_of: Callable[[], Scorer], tmp_path: Path) -> None:
    jets = toy_jets(20)
    for name in ("part_px", "part_py", "part_pz", "part_energy"):
        jets.particles[name][:] *= np.float32(1e-3)  # as in TeV
    for name in ("jet_pt", "jet_energy"):
        jets.events[name][:] *= np.float32(1e-3)  # as in TeV
    jetclass.write(tmp_path / "a.root", [jets])
    scorer = scorer_of()
    scored(scorer, [tmp_path / "a.root"])
    # the training saw no value beyond the clip
    assert any(" % of log_pt were clipped, 0.0 % in the training" in line
               for line in scorer.clipping_remarks())  # fmt: skip
