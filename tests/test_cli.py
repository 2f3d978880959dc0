from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from anomaly_hep import cli
from anomaly_hep.arguments import split
from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import DIRECTORY, alternatives, compose
from anomaly_hep.errors import ConfigError
from anomaly_hep.ranks import check_variables
from tests import runs

FILES = ("checkpoint=a.ckpt", "input=b.root", "output=c.parquet")


def check(name: str, *overrides: str) -> None:
    """Compose and check as the command line does."""
    settings_of(name, compose(name, split(overrides)[1]))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.betta=1", r"model.betta does not exist. Did you mean beta\? Keys of model: .*beta"),
        ("sead=1", r"sead does not exist. Did you mean seed\? Keys of train: .*seed"),
        ("data.features.log_p=1", r"data.features.log_p=1. Cure: it should be a mapping"),
        (
            "~data.samples.test.Foo",
            r"data.samples.test.Foo does not exist. Keys of data.samples.test: H4q",
        ),
        ("model=gan", r"model=gan does not exist. Cure: one of antelope, cct, clipvae, "),
        ("experiment=table9", r"setvae_table1"),
        ("model.beta", r"write overrides as key=value"),
        ("data.title=a=b", r"Cure: type 'data.title=\"a=b\"'$"),
        ("data.dir=${oc.env:NOT_SET}", r"data.dir needs the .*NOT_SET, .* Cure: set NOT_SET"),
        ("data.title=${nosuch:3}", r"nothing is known as \$\{nosuch:...\}"),
        ("seed=1,2", r"""-m runs each, 'seed=\[1,2\]' is a list, 'seed="1,2"' a text"""),
        ("seed=choice(1,2)", "seed=choice\\(1,2\\) is several values. Cure: add -m"),
        ("+seed=3", "seed exists already. Cure: seed=VALUE, without the +"),
        ("+experiment=setvae_table1", "Cure: experiment=setvae_table1, without the +"),
        ("~seed", "model.seed needs seed, which is taken away. Cure: leave ~seed out"),
        ("~data", "needs data, which is taken away. Cure: leave ~data out"),
        ("~seed=5", "The value of 'seed' is 1 and not 5. Cure: leave the value out"),
        ("trainer=null", "trainer=null chooses no file. Cure: trainer=NAME, one of default"),
        ("logger=3", "logger=3 chooses no file. Cure: logger=NAME, one of none, wandb"),
        ("fitted_scores=1", "fitted_scores=1 chooses no file. Cure: fitted_scores=NAME, one of "),
        (
            "data={a: 1}",
            "data={a: 1} chooses no file. Cure: data=NAME, one of darkmachines, d",
        ),
        ("data=", "data= does not exist. Cure: one of "),
        ("hydra/launcher=nope", "hydra/launcher=nope does not exist. Cure: one of basic"),
        ("data.dir=", "data.dir=. Cure: it should be a text that is not empty"),
        ("data.title=${seed", "data.title=\\$\\{seed has characters .* Cure: type 'data.title="),
        ("trainer.devices=", "trainer.devices=. Cure: it should be "),
        ("++foo=1", "foo does not exist. .*Keys of this command: data"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_list_of_what_does(
    override: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check("train", override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "override", "said"),
    [
        ("train", "+model.betta=1", r"model.betta does not exist. Did you mean beta\?"),
        (
            "train",
            "+trainer.max_epoch=1",
            r"Did you mean max_epochs\? Keys of trainer: .*limit_",
        ),
        ("train", "+trainer.logger=false", r"trainer.logger does not exist"),
        ("train", "+trainer.min_epochs=2", r"trainer.min_epochs does not exist"),
        ("train", "+model.phases.train.epoch=2", r"Did you mean epochs\?"),
        ("train", "+data.batchsize=2", r"data.batchsize does not exist. Did you mean batch_size\?"),
        ("train", "+data.augmentation=true", r"data.augmentation does not exist"),
        (
            "train",
            "+data.features.pt_rel.centre=1",
            r"Did you mean center\? Keys of .*: center",
        ),
        ("train", "+data.simulation.veto.min_pT=1", r"Did you mean min_pt\?"),
        ("simulate", "+data.simulation.events_per_file=9", r"Did you mean jets_per_file\?"),
        ("train", "+logger.tag=a", r"logger.tag does not exist. Keys of logger: kind"),
        ("train", "+sead=1", r"sead does not exist. Did you mean seed\?"),
        ("score", "+batchsize=1", r"batchsize does not exist. Did you mean batch_size\?"),
        ("train", "+model.phases.train.epoch=1", r"Did you mean epochs\? Keys of model.phases.tr"),
        ("train", "+model.phases.train.optimizer.learning_rate=1", r"Keys of .*optimizer: .*lr"),
        ("fpga", "+fpag.score=kl", r"fpag does not exist. Did you mean fpga\?"),
        ("fpga", "+fpga.weigth_bits=3", r"Did you mean weight_bits\? Keys of fpga: .*rejection"),
        (
            "fpga",
            "+fpga.rtl.delay_per_stages=3",
            r"Did you mean delay_per_stage\? Keys of fpga.rtl",
        ),
        ("simulate", "+part_s=1", r"part_s does not exist. Did you mean parts\?"),
        ("benchmark", "+second=1", r"second does not exist. Did you mean seconds\?"),
    ],
)
def test_a_key_that_is_added_is_refused_where_nothing_takes_it(
    command: str, override: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        check(command, override, *(FILES if command == "score" else ()))


@pytest.mark.parametrize(
    "key",
    ["model.name", "model.encoder", "model.phases", "model.phases.train.optimizer",
     "data.name", "data.samples", "data.samples.test.QCD.files", "trainer.devices"],
)  # fmt: skip
def test_a_key_that_is_taken_away_is_refused_by_its_name(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} is missing. Cure: {key}=VALUE"):
        check("train", f"~{key}")


FITTED = "+fitted_scores.mine={_target_: anomaly_hep.models.fitted."
QCD = "++data.samples.train.QCD."


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (FITTED + "OneClassSVM, embedding: z, nu: 2}", "nu=2. Cure: .*less than or equal to 1"),
        (FITTED + "OneClassSVM, embedding: z, gamma: -1}", "gamma=-1. Cure: .*greater than 0"),
        (FITTED + "NearestNeighbours, embedding: z, neighbours: 0}", "neighbours=0. Cure"),
        (FITTED + "Mahalanobis, embedding: z, events: 1}", "events=1. Cure: .*equal to 2"),
        (QCD + "entries=[a,b]", r"entries.0=a. Cure: it should be a valid number"),
        (QCD + "entries=0.5", "entries=0.5. Cure: it should be a list"),
        (QCD + "files=3", "files=3. Cure: it should be a list or a text"),
        (QCD + "weight=3", "weight=3. Cure: it should be a text"),
        (QCD + "where={jet_pt: 5}", "where.jet_pt=5. Cure: it should be a mapping"),
        (QCD + "where={jet_pt: {min: a}}", "where.jet_pt.min=a. Cure: .*a valid number"),
        (QCD + "colum=x", "colum does not exist"),
    ],
)
def test_values_inside_a_section_are_refused_by_their_key(override: str, said: str) -> None:
    place = "fitted_scores.mine" if override.startswith(FITTED) else "data.samples.train.QCD"
    with pytest.raises(ConfigError, match=f"{place}.{said}"):
        check("train", override)


@pytest.mark.parametrize(
    ("command", "override", "expected"),
    [
        ("train", "seed=x", "a valid integer"),
        ("train", "seed=-1", "greater than or equal to 0"),
        ("train", "seed=null", "a valid integer"),
        ("train", "seed=true", "a valid integer"),
        ("train", "threads=two", "a valid integer"),
        ("train", "threads=0", "greater than or equal to 1"),
        ("train", "trainer.max_epochs=-1", "greater than or equal to 1"),
        ("train", "trainer.max_epochs=1.5", "a valid integer"),
        ("train", "trainer.precision=fast", "'32-true' or 'bf16-mixed'"),
        ("train", "trainer.milestones=[1,a]", "a valid integer"),
        ("train", "+trainer.limit_val_batches=few", "a valid integer or a valid number"),
        ("train", "data.batch_size=abc", "a valid integer"),
        ("train", "data.max_particles=many", "a valid integer"),
        ("train", "data.features.pt_rel.clip=0", "greater than 0"),
        ("train", "data.simulation.sizes.train.QCD=lots", "a valid integer"),
        ("simulate", "data.simulation.detector.smear_momenta=yes please", "a valid boolean"),
        ("train", "data.if_missing=maybe", "'simulate' or 'error'"),
        ("train", "data.selection.jet_nparticles.min=two", "a valid number"),
        ("train", "model.beta=foo", "a valid number"),
        ("train", "model.use_pid=1", "a valid boolean"),
        ("train", "model.phases.train.epochs=abc", "a valid integer"),
        ("train", "model.phases.train.patience=0", "greater than or equal to 1"),
        ("train", "model.phases.train.clip_each_tensor=0", "greater than 0"),
        ("train", "model.phases.train.labels=QCD", "a list"),
        ("score", "batch_size=1k", "a valid integer"),
        ("score", "batch_size=0", "greater than or equal to 1"),
        ("score", "input=null", "a list or a text"),
        ("simulate", "workers=many", "a valid integer"),
        ("simulate", "part=-1", "greater than or equal to 0"),
        ("fetch", "archives=all", "a list"),
        ("fpga", "threads=null", "a valid integer"),
        ("fpga", "fpga.score=both", "'squared' or 'kl'"),
        ("fpga", "fpga.rtl.synthesis=1", "a valid boolean"),
        ("train", "model.phases.train.epochs=0", "greater than or equal to 1"),
        ("train", "model.phases.train.optimizer.lr=high", "a valid number"),
        ("train", "model.phases.train.optimizer.lr=0", "greater than 0"),
        ("train", "model.encoder.layers=0", "greater than or equal to 1"),
        ("benchmark", "seconds=0", "greater than 0"),
        ("evaluate", "run_dir=[a]", "a text"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_key_value_and_what_is_expected(
    command: str, override: str, expected: str
) -> None:
    required = {
        "score": FILES,
        "fetch": ("to=a",),
        "evaluate": ("run_dir=a",),
        "dashboard": ("run_dir=a", "entity=b"),
    }.get(command, ())
    with pytest.raises(ConfigError) as refused:
        check(command, *required, override)
    key, value = override.lstrip("+").split("=")
    shown = {"[1,a]": "a", "[a]": '["a"]'}.get(value, value)
    where = f"{key}.1" if value == "[1,a]" else key
    assert str(refused.value) == f"{where}={shown}. Cure: it should be {expected}"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("fitted_scores={gm: {_target_: anomaly_hep.models.fitted.Mahalanobis, embedding: mean}}",
         "fitted_scores.gm.embedding", "mean"),
        ("data.selection={jet_pt: {min: 1e9}}", "data.selection.jet_pt.min", 1e9),
        ("data.selection.jet_pt.max=5", "data.selection.jet_pt.max", 5),
        ("data.selection={jet_nparticles: {min: 2, max: 25}}", "data.selection.jet_nparticles.max",
         25),
        ("data.samples.test.Hbb.weight=BRANCH", "data.samples.test.Hbb.weight", "BRANCH"),
        ("data.samples.test.Hbb.entries=[0,0.5]", "data.samples.test.Hbb.entries", [0, 0.5]),
        ("data.samples.test.Extra.files=Foo_*", "data.samples.test.Extra.files", "Foo_*"),
        ("data.features.x.column=part_pz", "data.features.x.column", "part_pz"),
        ("data.groups.mine=[Hbb]", "data.groups.mine", ["Hbb"]),
        ("data.simulation.per_class={Wqq: [a]}", "data.simulation.per_class.Wqq", ["a"]),
        ("data.simulation.per_class.Wqq=[a]", "data.simulation.per_class.Wqq", ["a"]),
        ("model.phases.train.learning_rates={encoder: 1e-4}",
         "model.phases.train.learning_rates.encoder", 1e-4),
    ],
)  # fmt: skip
def test_keys_of_the_users_own_are_given_without_a_plus(
    override: str, key: str, value: Any
) -> None:
    config: Any = compose("train", split([override])[1])
    settings_of("train", config)
    for part in key.split("."):
        config = config[part]
    assert config == value


def test_a_sweep_over_a_key_of_the_users_own_is_one() -> None:
    _, overrides = split(["-m", "data.groups.mine=[Hbb],[Hcc]"])
    choices = list(alternatives("train", overrides))
    groups = [compose("train", choice)["data"]["groups"] for choice in choices]
    assert groups == [{"mine": ["Hbb"]}, {"mine": ["Hcc"]}]


MAHALANOBIS = "fitted_scores.gm._target_=anomaly_hep.models.fitted.Mahalanobis"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.samples.test.Hbb.wieght=w"], r"Hbb.wieght does not exist. Did you mean weight\?"),
        (["data.samples.tst.Hbb.weight=w"], r"samples.tst does not exist. Did you mean test\?"),
        (["data.samples.test.Hbbb.weight=w"], r"Hbbb.files is missing. Did you mean .*test.Hbb\?"),
        (["data.features.pt_rell.scale=1"], r"pt_rell does not exist. Did you mean pt_rel\?"),
        (["data.features.pt_rel.scal=1"], r"pt_rel.scal does not exist. Did you mean scale\?"),
        (["data.selection.jet_pt.mn=3"], r"jet_pt.mn does not exist. Did you mean min\? .*: max, "),
        (
            ["data.samples.test.Hbb.where.jet_pt.mn=3"],
            r"jet_pt.mn does not exist. Did you mean min",
        ),
        (["data.selection=3"], r"data.selection=3. Cure: it should be a mapping"),
        (["data.samples.test=3"], r"data.samples.test=3. Cure: it should be a mapping"),
        (["data.samples.test.Hbb=3"], r"data.samples.test.Hbb=3. Cure: it should be a mapping"),
        (["data.groups.mine=Hbb"], r"data.groups.mine=Hbb. Cure: it should be a list"),
        ([MAHALANOBIS, "fitted_scores.gm.embeding=mean"], r"embeding does .*mean embedding\?"),
        (["fitted_scores.gm.embedding=mean"], r"gm._target_ is missing. Cure: fitted_scores.gm._"),
        (["fitted_scores.gm=3"], r"fitted_scores.gm=3. Cure: it should be a mapping"),
        (["model.phases.trian.learning_rates.x=1"], r"Did you mean model.phases.train\? Cure"),
        (["model.phases.train.learning_rates.x=0"], r"learning_rates.x=0. Cure: .*greater than 0"),
        (["fitted_score.gm.embedding=mean"], r"fitted_score does not exist. Did you mean fitted_s"),
    ],
)
def test_a_typo_below_keys_of_the_users_own_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check("train", *overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    ["model.beta=inf", "model.beta=nan", "model.beta=1e400", "model.phases.train.optimizer.lr=inf",
     "trainer.gradient_clip_val=inf", "+model.phases.train.scheduler.div_factor=nan",
     "+trainer.limit_val_batches=inf", "data.selection.jet_pt.max=inf",
     "data.features.pt_rel.scale=-inf"],
)  # fmt: skip
def test_a_number_that_is_not_finite_is_refused(override: str) -> None:
    key, _, value = override.lstrip("+").partition("=")
    with pytest.raises(ConfigError, match=r"finite number$") as caught:
        check("train", override)
    shown = {"1e400": "inf"}.get(value, value)
    assert str(caught.value).startswith(f"{key}={shown}. Cure: it should be ")


def test_a_count_beyond_the_integers_of_a_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="less than or equal to 9223372036854775807"):
        check("train", f"trainer.max_epochs={10**20}")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SLURM_PROCID", "", None),
        ("LOCAL_RANK", " ", None),
        ("RANK", "1", None),
        ("RANK", "abc", "environment variable RANK='abc' is no number .* Cure: unset RANK"),
        ("SLURM_NTASKS", "-1", "SLURM_NTASKS='-1'"),
        ("WORLD_SIZE", "x", "WORLD_SIZE='x'"),
    ],
)
def test_a_rank_that_is_no_number_is_ignored_if_empty_and_else_refused(
    name: str, value: str, said: str | None
) -> None:
    environment = {name: value}
    with pytest.raises(ConfigError, match=said) if said else nullcontext():
        check_variables(environment)
        assert environment == ({name: value} if value.strip() else {})


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Return the status of a command line that is run in this process."""
    monkeypatch.setattr(sys, "argv", ["anomaly_hep", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["doctor", "extra"], "doctor takes no arguments, and extra is one. Cure: "),
        (["fetch", "to=x", "archives=[]"], "archives=[] names nothing to download. Cure: "),
        (["dashboard", "run_dir=nosuch", "entity=me"], "nosuch holds no finished run. Cure: "),
        (["benchmark", "output=file/x.json"], "output=file/x.json cannot be written (File exists"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert started(monkeypatch, *arguments) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_environment_of_a_notebook_or_a_launcher_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("SLURM_PROCID", "")
    assert started(monkeypatch, "list", "models") == 0
    assert os.environ["MPLBACKEND"] == "Agg"
    assert "SLURM_PROCID" not in os.environ
    monkeypatch.setenv("RANK", "abc")
    capsys.readouterr()
    assert started(monkeypatch, "score") == 1
    assert capsys.readouterr().err.startswith("ConfigError: the environment variable RANK='abc'")


def test_a_value_that_must_be_given_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^checkpoint is missing. Cure: checkpoint=VALUE$"):
        check("score")


def test_a_path_may_be_a_number() -> None:
    assert settings_of("evaluate", compose("evaluate", ["run_dir=2024"])).run_dir == "2024"


@pytest.mark.parametrize(
    "override",
    [
        "model.beta=0,0.5,1",
        "model=setvae,clipvae",
        "model/encoder=glob(t*)",
        "seed=range(1,4)",
        "+trainer.limit_val_batches=2",
        "+trainer.max_time={seconds: 4}",
        "+data.samples.test.Extra={files: Foo_*}",
    ],
)
def test_what_exists_and_sweeps_of_it_pass(override: str) -> None:
    for choice in alternatives("train", [override]):
        check("train", *choice)


def test_every_value_of_a_sweep_is_looked_at() -> None:
    assert list(alternatives("train", ["seed=1,2,3", "a=b", "c=x,y"])) == [
        ["seed=1", "a=b", "c=x"],
        ["seed=2", "a=b", "c=x"],
        ["seed=3", "a=b", "c=x"],
        ["seed=1", "a=b", "c=y"],
    ]


def test_a_bad_value_of_a_sweep_is_refused_before_the_first_job(tmp_path: Path) -> None:
    printed = runs.train_here(runs.train_command("-m", "model.beta=0.1,foo"), tmp_path, expect=1)
    assert printed == "ConfigError: model.beta=foo. Cure: it should be a valid number\n"
    assert not list(tmp_path.iterdir())


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    printed = runs.train_here(runs.train_command("data.batch_size=abc"), tmp_path, expect=1)
    assert printed == "ConfigError: data.batch_size=abc. Cure: it should be a valid integer\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "override",
    ["+model.encoder.width=3", "data=darkshowers", "model.clip_fraction=2", "data.background=Hbc"],
)
def test_choices_that_do_not_go_together_leave_no_directory(tmp_path: Path, override: str) -> None:
    printed = runs.train_here(runs.train_command(override, "run_dir=run"), tmp_path, expect=1)
    assert printed.startswith("ConfigError: ")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's own folder of configuration."""
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    (tmp_path / "own" / "mytrain.yaml").write_text("defaults: [train, _self_]\nseed: 8\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "seed"),
    [
        (["--cfg", "job"], 1),
        (["-c", "job", "seed=3"], 3),
        (["--config-dir", "own", "experiment=mine", "--cfg=job"], 7),
        (["experiment=mine", "-cd=own", "-c", "job"], 7),
        (["--config-dir=own", "-cn", "mytrain", "--cfg", "job"], 8),
        (["-m", "seed=4,5", "--cfg", "job"], 4),
    ],
)
def test_hydra_shows_the_configuration(own: Path, arguments: list[str], seed: int) -> None:
    printed = runs.train_here(["python", "train.py", *arguments], own)
    assert f"\nseed: {seed}\n" in f"\n{printed}"
    assert not list(own.glob("outputs*"))


def test_hydra_says_where_it_looks(own: Path) -> None:
    train = [sys.executable, str(runs.ROOT / "train.py")]
    printed = runs.finish(runs.start([*train, "-cd", "own", "--info", "searchpath"], own), 0)
    assert str(DIRECTORY) in printed
    assert str(own / "own") in printed


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    printed = runs.train_here(runs.train_command("run_dir=file/run"), tmp_path, expect=1)
    assert printed.splitlines()[-1].startswith("NotADirectoryError: file")
    assert "Traceback" not in printed


def test_a_terminal_that_cannot_show_a_character_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, str(runs.ROOT / "train.py"), "data.dir='→'", "-c", "job"]
    runs.finish(runs.start(command, tmp_path, PYTHONIOENCODING="ascii"), 0)


CHATTY = """
from rich.console import Console
from anomaly_hep.cli import _PlainErrors
with _PlainErrors():
    for _ in range(20_000):
        Console().print("a line of a long table")
"""


@pytest.mark.parametrize(("redirection", "status"), [("| head -n 1", 141), (">&-", 0)])
def test_output_that_nobody_reads_is_no_error(redirection: str, status: int) -> None:
    shell = f"{sys.executable} -c '{CHATTY}' {redirection}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, "")


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
