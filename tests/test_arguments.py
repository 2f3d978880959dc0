"""Hydra's options, and paths and values with characters that mean something to Hydra or a shell."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from anomaly_hep.arguments import check_completion, check_primary, literal, split
from anomaly_hep.configuration import SEVERAL, UNREADABLE, alternatives, compose, read_override
from anomaly_hep.errors import ConfigError
from anomaly_hep.paths import PATHS, at_home
from anomaly_hep.quoting import in_shell, quoted

NAMES = (
    "a=b.root", "c,omma.root", "données ü.root", "par(1).root", "hash#1.root", "[x].root",
    "{y}.root", "colon: z.root", "tilde~.root", "it's.root", 'say "x".root', "$HOME.root",
    "${seed}.root", "${open.root", "back\\slash.root", 'end\\', 'both\\"x', "007", "1e5", "true",
    "a;b&c|d.root", "*?.root", "x!y.root", "glob(a)", "choice(a)", "`id`.root", " a .root", "%41",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "options", "overrides"),
    [
        (["a=1", "-m", "b=2"], ["--multirun"], ["a=1", "b=2"]),
        (["--cfg", "job", "a=1"], ["--cfg=job"], ["a=1"]),
        (["a=1", "-c", "job", "b=2", "-p", "model"], ["--cfg=job", "--package=model"],
         ["a=1", "b=2"]),
        (["--info", "a=1"], ["--info"], ["a=1"]),
        (["-i", "searchpath", "a=1"], ["--info=searchpath"], ["a=1"]),
        (["-cd", "/", "-cn=x", "-sc"], ["--config-dir=/", "--config-name=x", "--shell-completion"],
         []),
        (["-cp", "/usr/.."], ["--config-path=/"], []),
    ],
)  # fmt: skip
def test_options_of_hydra_stand_anywhere(arguments, options, overrides):
    assert split(arguments) == (options, overrides)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "no option --nonsense. Cure: --hydra-help lists them"),
        (["--multrun"], r"did you mean --multirun\?"),
        (["--cfg"], "--cfg job or hydra or all"),
        (["--cfg", "jobs"], "--cfg=jobs: the value is missing or unknown"),
        (["-i", "all", "--cfg", "job"], "--info and --cfg exclude each other"),
        (["--run", "-m"], "--run and --multirun exclude each other"),
        (["--info", "nothing"], "--info=nothing: .* searchpath"),
        (["-cd", "/nowhere"], "--config-dir=/nowhere: there is no such folder"),
        (["-cn"], "--config-name has no value"),
        (["--resolve=yes"], "--resolve takes no value"),
        (["--experimental-rerun", "x.pickle"], "is not supported. Cure: give the same overrides"),
        (["hydra.job.chdir=true"], "hydra.job.chdir=true is not supported"),
        (["hydra.run.dir=x"], "hydra.run.dir=x is not where a run is written. Cure: run_dir=PATH"),
        (["=3"], "=3 names no key"),
    ],
)
def test_an_option_that_hydra_would_not_explain_is_one_line(arguments, said):
    with pytest.raises(ConfigError, match=said) as caught:
        split(arguments)
    assert "\n" not in str(caught.value)


def test_a_primary_configuration_that_does_not_exist_is_named(tmp_path):
    (tmp_path / "mine.yaml").touch()
    check_primary([f"--config-dir={tmp_path}", "--config-name=mine"], "train")
    check_primary([], "train")
    for options in (["--config-name=nothing"], [f"--config-path={tmp_path}"]):
        with pytest.raises(ConfigError, match=r"there is no (nothing|train).yaml in"):
            check_primary(options, "train")


@pytest.mark.parametrize(
    ("overrides", "program", "said"),
    [
        (["install=bash"], "__main__.py score", "train.py alone"),
        (["query=bash"], "train.py", "has no action. Cure: -sc install=bash"),
        ([], "train.py", "has no action"),
    ],
)
def test_completion_is_explained_where_it_cannot_be(monkeypatch, overrides, program, said):
    monkeypatch.delenv("COMP_LINE", raising=False)
    with pytest.raises(ConfigError, match=said):
        check_completion(["--shell-completion"], overrides, program)
    check_completion(["--shell-completion"], ["install=bash"], "train.py")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_message_says_to_type_gives_that_very_text(name):
    """As in a shell: bash takes its quotes away, then Hydra its own."""
    typed = in_shell(f"key={name}")
    assert "\n" not in typed
    (override,) = shlex.split(typed)
    if not name.startswith("["):
        by_bash = subprocess.run(
            ["bash", "-c", f"printf %s {typed}"], capture_output=True, text=True, check=True
        ).stdout
        assert by_bash == override
    assert read_override(override) not in (UNREADABLE, SEVERAL)


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_path_is_taken_literally(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    override = literal(f"run_dir={name}")
    assert compose("evaluate", [override])["run_dir"] == name


@pytest.mark.parametrize("name", NAMES)
def test_a_path_to_write_is_taken_literally(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    override = literal(f"run_dir={name}")
    if name == "${seed}.root":  # an interpolation that Hydra knows
        assert compose("train", [override])["run_dir"] == "1.root"
    elif name != " a .root":  # Hydra takes the spaces off
        assert compose("evaluate", [override])["run_dir"] == name


@pytest.mark.parametrize(
    "override",
    ["run_dir=null", "input=[a.root,b.root]", "input=a,b", "data.dir=x", "seed=1", "run_dir=",
     "run_dir='a=b'", "~run_dir", "run_dir=${data.dir}/x", 'run_dir="a\\${b}"', "run_dir=a\\${b}"],
)  # fmt: skip
def test_what_hydra_reads_as_it_is_meant_stays(override):
    assert literal(override) == override


def test_a_sweep_over_paths_stays_one():
    assert literal("run_dir=a,b", several=True) == "run_dir=a,b"
    assert literal("run_dir=a,b") == 'run_dir="a,b"'


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("~", "HOME"), ("~/x.root", "HOME/x.root"), ("~/a[b]=c", "HOME/a[b]=c"), ("~x", "~x"),
        ("~x/y", "~x/y"), ("~there/a", "~there/a"), ("a/~", "a/~"), ("$HOME~", "$HOME~"),
        ("[~/a,b/~, ~/c d]", ["HOME/a", "b/~", "HOME/c d"]), ("['~/a']", ["HOME/a"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["input", "data.dir", "run_dir"])
def test_a_tilde_is_the_home_directory_in_every_path(key, typed, expected, monkeypatch):
    monkeypatch.setenv("HOME", "HOME")
    (override,) = split([f"{key}={typed}"])[1]
    command = {"input": "score", "data.dir": "train", "run_dir": "evaluate"}[key]
    needed = ["checkpoint=~/m.ckpt", "output=o"] if command == "score" else []
    composed = compose(command, [override, *split(needed)[1]])
    value = composed["data"]["dir"] if key == "data.dir" else composed[key]
    assert value == expected
    assert composed.shown.get(key, value) == value


def test_a_folder_that_is_called_tilde_is_meant_where_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("~").mkdir()
    assert [at_home(text) for text in ("~", "~/x")] == ["~", str(Path.home() / "x")]


def test_a_tilde_is_home_in_a_sweep_and_in_the_values_of_the_api():
    home = str(Path.home())
    _, (_, override) = split(["-m", "seed=1", "run_dir=~/a,~/b"])
    swept = [compose("train", choice)["run_dir"] for choice in alternatives("train", [override])]
    assert swept == [f"{home}/a", f"{home}/b"]
    for path in ("~/x", Path("~/x")):
        assert compose("train", [], {"data.dir": path})["data"]["dir"] == f"{home}/x"


@pytest.mark.parametrize(
    ("text", "meant"),
    [("../o8[a]${b}.parquet", None), ("a${b}", None), ("${open", None), ("${b:c}/x", None),
     ("${seed}/x", "1/x"), ("${oc.env:HERE}/[x]", "there/[x]"), ("${.name}", "jetclass"),
     ("${seed}[${b}]", "1[${b}]"), ("${data.name}", "jetclass"), ("${ seed }", "1")],
)  # fmt: skip
def test_an_interpolation_of_nothing_is_part_of_a_path(text, meant, monkeypatch):
    monkeypatch.setenv("HERE", "there")
    (override,) = split([f"data.dir={text}"])[1]
    assert str(compose("train", [override])["data"]["dir"]) == (meant or text)


@pytest.mark.parametrize("text", ["o8[a]${b}", "a${b}", "${open]", "[a]${seed}"])
def test_what_the_message_on_characters_says_to_type_works(text):
    for key in ("title", "dir"):
        with pytest.raises(ConfigError) as caught:
            compose("train", [f"data.{key}={text}"])
        typed = shlex.split(str(caught.value).partition("type ")[2])
        (override,) = split(typed)[1]
        assert override == typed[0]
        assert compose("train", [override])["data"][key] == text.replace("${seed}", "1")


def test_lists_have_each_element_quoted():
    assert in_shell("input=[a=b.root,c.root]") == """'input=["a=b.root","c.root"]'"""


def test_interpolations_of_a_text_stay_unless_it_is_a_whole_name():
    assert quoted("x=${seed}=1") == 'x="${seed}=1"'
    assert quoted("x=${seed}=1", whole=True) == 'x="\\${seed}=1"'


def test_the_keys_of_paths_are_those_whose_settings_are_names():
    source = (Path(__file__).parents[1] / "src/anomaly_hep/settings.py").read_text()
    fields = set(re.findall(r"^    (\w+): Name\b", source, re.MULTILINE))
    fields -= {"accelerator"}
    assert fields <= {key.rsplit(".", 1)[-1] for key in PATHS}
