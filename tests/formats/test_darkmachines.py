"""The Dark Machines text format: the published line, spellings, packings, caches and bad lines."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.toys import toy_objects

from anomaly_hep.errors import AnomalyHepError, BadFileError
from anomaly_hep.formats import columnar, darkmachines, eventlines, files
from anomaly_hep.types import Events

# the one line that SciPost Phys. 12, 045 prints, section 2.2 of the challenge's paper
LINE = (
    "94;ttbar;1;112288;1.74766;b,331927,147558,-1.44969,-1.76399;"
    "j,100406,85589,-0.568259,-1.17144;b,55808.8,54391.4,-0.198215,1.726"
)
EVERY = list(darkmachines.WRITTEN.names)


def read(path: Path, columns: list[str] | None = None) -> Events:
    entries = files.format_of(path).describe(path).entries
    return files.read(path, 0, entries, columns or list(darkmachines.LAYOUT.names))


def put(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), newline="")
    return path


def slow(path: Path) -> list[tuple[list[float], list[list[float]]]]:
    """Return what a loop over the lines finds, in GeV."""
    found = []
    for line in path.read_text().splitlines():
        number, _, weight, met, met_phi, *objects = [t for t in line.strip().split(";") if t]
        rows = []
        for one in objects:
            kind, *numbers = one.split(",")
            energy, pt, eta, phi = map(float, numbers)
            rows.append([darkmachines.TYPES[kind], energy / 1000, pt / 1000, eta, phi])
        found.append(([int(number), float(weight), float(met) / 1000, float(met_phi)], rows))
    return found


def test_the_published_line(tmp_path: Path) -> None:
    event = read(put(tmp_path / "a.csv", LINE))
    assert event.lengths.tolist() == [3]
    assert event.particles["obj_type"].tolist() == [2, 1, 2]
    assert event.particles["obj_energy"] == pytest.approx([331.927, 100.406, 55.8088])
    assert event.particles["obj_pt"] == pytest.approx([147.558, 85.589, 54.3914])
    assert event.particles["obj_phi"] == pytest.approx([-1.76399, -1.17144, 1.726])
    assert event.events["met"] == pytest.approx([112.288])
    assert event.events["process"].tolist() == ["ttbar"]
    assert event.events["n_objects"].tolist() == [3]
    assert event.events["ht"] == pytest.approx([147.558 + 85.589 + 54.3914])


@pytest.mark.parametrize(
    "text",
    [f"{LINE}\n{LINE}\n", f"{LINE};\n{LINE};\n", f"{LINE}\r\n{LINE};\r\n", f"{LINE}\n\n{LINE}\n",
     f"{LINE.replace(';', '; ')} \n{LINE};;\n"],
    ids=["plain", "trailing", "windows", "blank line", "blanks"],
)  # fmt: skip
def test_lines_as_they_are_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, newline="")
    event = read(tmp_path / "a.csv")
    assert event.lengths.tolist() == [3, 3]
    assert event.particles["obj_pt"][:3] == pytest.approx([147.558, 85.589, 54.3914])


def test_both_spellings_of_muons_and_photons(tmp_path: Path) -> None:
    kinds = ["m-", "mu-", "m+", "mu+", "g", "a", "e-", "e+"]
    objects = ";".join(f"{kind},60000,50000,0.1,0.2" for kind in kinds)
    event = read(put(tmp_path / "a.csv", f"1;x;1;60000;0.5;{objects}"))
    assert event.particles["obj_type"].tolist() == [5, 5, 6, 6, 7, 7, 3, 4]


def test_gzip_and_zip_hold_the_same(tmp_path: Path) -> None:
    plain = put(tmp_path / "a.csv", LINE, LINE)
    with gzip.open(tmp_path / "b.csv.gz", "wb") as file:
        file.write(plain.read_bytes())
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.write(plain, "inside.csv")
    first = read(plain)
    for name in ("b.csv.gz", "c.zip"):
        other = read(tmp_path / name)
        assert np.array_equal(other.particles["obj_pt"], first.particles["obj_pt"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(0, 1000), st.integers(64, 4096))
def test_blocks_give_what_a_loop_over_the_lines_gives(
    tmp_path: Path, number: int, seed: int, block: int
) -> None:
    path = tmp_path / f"{number}-{seed}-{block}.csv.gz"
    darkmachines.write(path, [toy_objects(number, seed=seed)])
    text = path.with_suffix("")
    text.write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eventlines, "_BLOCK_BYTES", block)
        found = read(text)
    rows = [row for _, objects in slow(text) for row in objects]
    for i, name in enumerate(("obj_type", "obj_energy", "obj_pt", "obj_eta", "obj_phi")):
        assert found.particles[name] == pytest.approx([row[i] for row in rows], rel=1e-6)
    for i, name in enumerate(("event", "weight", "met", "met_phi")):
        assert found.events[name] == pytest.approx([head[i] for head, _ in slow(text)], rel=1e-6)


def test_what_is_written_is_read_back_with_its_provenance(tmp_path: Path) -> None:
    events = toy_objects(30)
    about = {"origin": "simulated", "generator": "Pythia 8"}
    assert darkmachines.write(tmp_path / "a.csv.gz", [events, events], about) == 60
    first = (tmp_path / "a.csv.gz").read_bytes()
    described = files.format_of(tmp_path / "a.csv.gz").describe(tmp_path / "a.csv.gz")
    assert (described.entries, described.provenance) == (60, about)
    found = read(tmp_path / "a.csv.gz", EVERY)
    for name, values in {**events.particles, **events.events}.items():
        again = {**found.particles, **found.events}[name][: len(values)]
        if name == "process":
            assert again.tolist() == values.tolist()
        else:
            assert again == pytest.approx(values, rel=1e-5, abs=1e-5)
    darkmachines.write(tmp_path / "a.csv.gz", [events, events], about)
    assert (tmp_path / "a.csv.gz").read_bytes() == first
    assert gzip.decompress(first).count(b"\n") == 60  # what any other reader sees


BAD = {
    "comma": (LINE.replace(";", ","), "line 1: its fields are separated by ',' instead of ';'"),
    "tab": (LINE.replace(";", "|"), "line 1: its fields are separated by '|' instead of ';'"),
    "GeV": (
        "94;ttbar;1;112.288;1.74766;b,331.927,147.558,-1.44969,-1.76399",
        "multiply by 1000 if these are GeV",
    ),
    "nan": (LINE.replace("331927", "nan"), "branch 'obj_energy', entry 0: the value is nan"),
    "negative pT": (LINE.replace("147558", "-147558"), "branch 'obj_pt', entry 0: the value -147"),
    "negative E": (LINE.replace("331927", "-331927"), "branch 'obj_energy', entry 0: the value -3"),
    "no number": (LINE.replace("85589", "x85"), "line 1: pt is 'x85', which is no number"),
    "unknown": (LINE.replace("j,", "tau,"), "line 1: 'tau' is no type of an object"),
    "many": (
        "94;t;1;112288;1.7;" + ";".join(["j,100406,85589,-0.568259,-1.17144"] * 10_000),
        "it has more than 200 objects",
    ),
    "cut": (
        f"{LINE}\n{LINE[:14]}",
        "line 2: it has 4 of the fields event, process, weight, MET, METphi",
    ),
    "cut object": (LINE[:40], "'b,331927,14755' has 3 values instead of the five type, E, pt"),
    "header": ("id;process;weight;MET;METphi;obj,E,pt,eta,phi", "event is 'id': it is a header"),
    "swapped": (LINE.replace("331927,147558", "147558,331927"), "is below its momentum"),
    "nothing": ("94;ttbar;1;0;1.74766", "it has no object and no missing momentum"),
    "empty field": (LINE.replace("ttbar", ""), "line 1: it has 4 of the fields"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_with_a_cure(tmp_path: Path, name: str) -> None:
    line, said = BAD[name]
    with pytest.raises(BadFileError) as refused:
        read(put(tmp_path / "a.csv", line))
    message = str(refused.value)
    assert said in message
    assert "Cure: " in message
    assert "\n" not in message


def test_the_number_of_a_bad_line_counts_all_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlines, "_BLOCK_BYTES", 300)
    path = put(tmp_path / "a.csv", *[LINE] * 9, LINE.replace(";j,", ";q,"), LINE)
    with pytest.raises(BadFileError, match="line 10: 'q' is no type"):
        read(path)


def test_a_last_line_without_an_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{LINE}\n{LINE[:-4]}")
    with pytest.raises(BadFileError, match=r"the last line has no end .*echo >> a\.csv"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b\n1,2\n", b"<html></html>\n", b"\x00\x01"])
def test_other_files_are_not_taken_for_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(BadFileError):
        files.format_of(tmp_path / "a.csv")


def test_a_cut_gzip_file_is_damaged(tmp_path: Path) -> None:
    darkmachines.write(tmp_path / "a.csv.gz", [toy_objects(50)])
    (tmp_path / "a.csv.gz").write_bytes((tmp_path / "a.csv.gz").read_bytes()[:-9])
    with pytest.raises(BadFileError, match="the file is damaged"):
        read(tmp_path / "a.csv.gz")


def test_an_archive_of_two_texts_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", f"{LINE}\n")
        archive.writestr("b.csv", f"{LINE}\n")
    with pytest.raises(BadFileError, match="the archive holds 2 texts"):
        read(tmp_path / "a.zip")


def test_the_copy_is_made_once_and_anew_for_another_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "a.csv", LINE)
    read(path)
    copy = tmp_path / ".a.csv.parquet"
    made = copy.stat().st_mtime_ns
    columnar._known.forget()
    with monkeypatch.context() as patch:
        patch.setattr(darkmachines, "parsed", lambda *_: pytest.fail("it is parsed again"))
        assert len(read(path)) == 1
    assert copy.stat().st_mtime_ns == made
    put(path, LINE, LINE)
    assert len(read(path)) == 2


def test_a_damaged_copy_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    darkmachines.write(path, [toy_objects(400)])
    expected = read(path, EVERY)
    copy = tmp_path / ".a.csv.gz.parquet"
    content = bytearray(copy.read_bytes())
    content[1000:1400] = bytes(400)
    copy.write_bytes(content)
    found = read(path, EVERY)
    assert np.array_equal(found.particles["obj_pt"], expected.particles["obj_pt"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_has_its_copy_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "data"
    place.mkdir()
    path = put(place / "a.csv", LINE)
    place.chmod(0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(read(path)) == 1
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 1


def test_where_no_copy_can_be_written_a_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "a.csv", LINE)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(columnar, "_write", refuse)
    with pytest.raises(AnomalyHepError, match="Cure: set XDG_CACHE_HOME"):
        read(path)


def test_memory_does_not_grow_with_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlines, "_BLOCK_BYTES", 10_000)
    path = put(tmp_path / "a.csv", *[LINE] * 2000)
    tables = eventlines.parsed(path, darkmachines.TYPES, darkmachines._SCHEMA, 1000.0)
    sizes = [len(table) for table in tables]
    assert sum(sizes) == 2000
    assert max(sizes) < 100


def test_what_cannot_be_a_line_is_not_written(tmp_path: Path) -> None:
    events = toy_objects(3, processes=("a;b",))
    with pytest.raises(ValueError, match="cannot be the name of a process"):
        darkmachines.write(tmp_path / "a.csv.gz", [events])
    assert not (tmp_path / "a.csv.gz").exists()


def test_a_damaged_archive_is_named_whichever_format_is_asked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", f"{LINE}\n" * 200)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[40:60] = bytes(20)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BadFileError, match=r"damaged"):
        read(tmp_path / "a.zip")


def test_derived_columns_are_given_as_stored_ones(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", LINE)
    found = files.stored(path, 0, 1, ["n_objects", "ht", "process", "met", "object_mass"])
    assert set(found) == {"n_objects", "ht", "process", "met", "object_mass"}
    assert found["n_objects"].tolist() == [3]


def test_the_mass_of_all_objects(tmp_path: Path) -> None:
    # in MeV: two photons back to back, 5 and 20 GeV; one object of 13 GeV energy and 12 momentum
    lines = (
        "1;a;1;0;0;g,5000,5000,0,0;g,20000,20000,0,3.14159265\n"
        "2;a;1;9000;0\n"
        "3;a;1;0;0;j,13000,12000,0,1.2\n"
    )
    mass = read(put(tmp_path / "a.csv", lines)).events["object_mass"]
    assert mass == pytest.approx([20.0, 0.0, 5.0], rel=1e-4)


def test_a_header_with_names_of_objects_is_known_as_one(tmp_path: Path) -> None:
    header = "event ID; process ID; event weight; MET; METphi; obj1, E1, pt1, eta1, phi1; obj2"
    with pytest.raises(BadFileError, match="line 1: event is 'eventID': it is a header"):
        read(put(tmp_path / "a.csv", header, LINE))
