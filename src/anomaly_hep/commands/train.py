"""`train.py`: data, training, scores, metrics, figures and report of one run."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning
from rich.console import Console

from anomaly_hep.atomic import write_text
from anomaly_hep.callbacks import Speed
from anomaly_hep.channels import ALL
from anomaly_hep.commands.describe import describe_data, describe_model
from anomaly_hep.commands.simulate import ensure
from anomaly_hep.dashboards import close_dashboards, open_dashboards
from anomaly_hep.data.mixture import mixtures
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.collect import collect
from anomaly_hep.evaluate.evaluation import evaluate
from anomaly_hep.evaluate.figures import write_figures
from anomaly_hep.evaluate.fits import fit_notes
from anomaly_hep.evaluate.loading import load_model, write_fitted
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.evaluate.reconstructions import write_reconstructions
from anomaly_hep.evaluate.remarks import run_remarks
from anomaly_hep.evaluate.report import write_report
from anomaly_hep.evaluate.results import EventRates, Results, write_results
from anomaly_hep.evaluate.runfiles import RunFiles, read_scores, write_scores
from anomaly_hep.evaluate.scores import Scorer
from anomaly_hep.evaluate.scoretable import score_table
from anomaly_hep.evaluate.tables import result_table
from anomaly_hep.fitting import Training
from anomaly_hep.lifeline import end_with_parent
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.execution import Execution
from anomaly_hep.models.fits.companions import decorrelation_of
from anomaly_hep.models.fits.sources import check_fitted
from anomaly_hep.models.loading import fitted_scores, model_class
from anomaly_hep.models.phase import scaled
from anomaly_hep.provenance import moved
from anomaly_hep.ranks import Companions, rank_of
from anomaly_hep.readiness import Planned, check_files, check_processes, missed_milestones
from anomaly_hep.run import OUTPUTS, RunDirectory, default_path, hold
from anomaly_hep.runtime import Termination, keep_freed_memory
from anomaly_hep.settings import DataSettings, ModelSettings, RunSettings, TrainerSettings
from anomaly_hep.sharing import share_cores


def run(settings: RunSettings) -> Path:
    """Make the requested run, or resume it after a kill; return its directory."""
    if settings.data.channel == ALL:
        raise ConfigError(
            f"data.channel={ALL} is a training for each of {list(settings.data.channels)}. Cure: "
            "the command `anomaly_hep train` makes them all; train one at a time from Python"
        )
    termination = Termination()
    termination.install()
    keep_freed_memory()
    execution = execution_of(settings.trainer)  # refuses a device that is not there
    check_processes(replace(settings.trainer, accelerator=execution.device.type))
    console = Console(markup=False)
    path = Path(settings.run_dir) if settings.run_dir else default_path(settings.config, OUTPUTS)
    lightning.seed_everything(settings.seed, verbose=False)
    # refuse incompatible choices before the run takes the directory
    module, model = make_data(settings.data, settings.seed), make_model(settings.model)
    module.slotted, model.compile_steps = execution.slotted, execution.compiled
    module.reading.check(model)
    model.check_phases()
    if decorrelation := decorrelation_of(settings.config):
        fitted = decorrelation.added(settings.fitted_scores, model.score_names)
        settings = replace(settings, fitted_scores=fitted)
    check_fitted(model, fitted_scores(settings.fitted_scores))
    nodes = int(settings.trainer.lightning.get("num_nodes", 1))
    companions = Companions(path, rank_of(settings.trainer.devices, nodes, os.environ), termination)
    make = partial(_make, settings, module, model, companions, console)
    if companions.rank.launched and "LOCAL_RANK" in os.environ:
        end_with_parent(os.getppid())  # rank 0, of which Lightning started this process
    if companions.rank.number:
        companions.wait_for_first()
        directory = RunDirectory(path)
        with companions.joined():
            if not directory.finished:
                directory.take_threads(settings.threads)
                make(directory)
        return path
    with hold(path, settings.config) as directory, companions.joined():
        if directory.finished:
            console.print(f"{path} is finished; its results:")
        else:
            make(directory)
        _show(path, console)
    return path


def combine(jobs: Sequence[RunSettings]) -> None:
    """Collect the finished runs of all channels, which stand below one directory."""
    directory = Path(str(jobs[0].run_dir)).parent
    Console(markup=False).print(collect(directory))


def _make(
    settings: RunSettings,
    module: EventDataModule,
    model: AnomalyModel,
    companions: Companions,
    console: Console,
    directory: RunDirectory,
) -> None:
    path, rank = directory.path, companions.rank.number
    share_cores()
    console.print(f"run directory: {path}")
    if directory.retested:
        console.print(
            f"it was begun with another choice of {', '.join(directory.retested)}, which the "
            "training does not depend on: this one counts"
        )
    if earlier := moved(path):
        console.print(
            f"it was begun with other arithmetic ({earlier}): the last digits of its results will "
            "not be those of an unbroken run"
        )
    dashboards = []
    if not rank:
        dashboards = open_dashboards(settings.logger, settings.config, path, console)
        ensure(settings.data, console)
        _check(settings, path, module, model, console)
        companions.ready()
    companions.wait_for_all()
    # Lightning's auto would take accelerators that this package does not support
    trainer = replace(settings.trainer, accelerator=execution_of(settings.trainer).device.type)
    training = Training(
        model, module, trainer, path, companions.termination, dashboards, directory.check
    )
    with companions.watched():
        training.fit(Path(settings.start_from) if settings.start_from else None, console)
    if rank:
        return
    directory.check()
    training_speed = _training_speed(path, training.speed)
    scorer = score(settings, path, module, console)
    results = finish(settings, path, module, scorer, training_speed)
    directory.finish({"default_score": results.default_score})
    close_dashboards(settings.logger, path, results, console)


def _check(
    settings: RunSettings,
    path: Path,
    module: EventDataModule,
    model: AnomalyModel,
    console: Console,
) -> None:
    """Refuse, before the first step, what would end the run after hours."""
    plan = Planned(
        run=path,
        module=module,
        model=model,
        phases=scaled(model.phases, settings.trainer.max_epochs),
        fitted=fitted_scores(settings.fitted_scores),
        paper=load_paper(settings.data.paper),
        milestones=settings.trainer.milestones or (),
    )
    for remark in check_files(plan):
        console.print(remark)


def execution_of(trainer: TrainerSettings) -> Execution:
    """Return where and how a run's networks compute; raises ConfigError if they cannot."""
    devices = trainer.devices
    number = devices[0] if isinstance(devices, Sequence) and not isinstance(devices, str) else 0
    return Execution.of(trainer.accelerator, trainer.compile, number)


def make_data(data: DataSettings, seed: int) -> EventDataModule:
    """Return the data module of a data set; keys that it does not take go to its reading."""
    parameters = inspect.signature(EventDataModule).parameters
    taken = {name: value for name, value in data.module.items() if name in parameters}
    return EventDataModule(
        directory=data.dir,
        test_directory=data.test_dir,
        seed=seed,
        inputs={name: value for name, value in data.module.items() if name not in parameters},
        **taken,
    )


def make_model(model: ModelSettings) -> AnomalyModel:
    """Return the model of a configuration; raises ConfigError, which names an unknown key."""
    try:
        return model_class(model.target)(**model.arguments)
    except TypeError as error:
        raise ConfigError(
            f"model={model.name}: {error}. Cure: the keys are those of conf/model/{model.name}.yaml"
        ) from error


def _training_speed(path: Path, speed: Speed) -> float | None:
    """Return training events per second, kept on disk in case of a kill before scoring."""
    file = path / "checkpoints" / "speed.json"
    if speed.events_per_second is not None:
        write_text(file, json.dumps(speed.events_per_second))
    elif file.exists():
        with contextlib.suppress(ValueError, TypeError):  # a damaged file: the rate is unknown
            return float(json.loads(file.read_bytes()))
    return speed.events_per_second


def score(settings: RunSettings, path: Path, module: EventDataModule, console: Console) -> Scorer:
    """Score every class's test files with the best checkpoint and write scores.parquet."""
    model, reading, _ = load_model(path / "checkpoints" / "best.ckpt")
    scorer = Scorer(
        model,
        reading,
        settings.score_batch_size,
        settings.trainer.precision,
        execution=execution_of(settings.trainer),
    )
    if fitted := settings.fitted_scores:
        scorer.fit(fitted, module.background_parts())
        write_fitted(scorer.fitted, fitted, path / "checkpoints")
    paper = load_paper(settings.data.paper)
    table = score_table(paper, module, scorer, console, settings.data.mass)
    write_scores(path / "scores.parquet", table)
    files = [(label, module.files("test", label)[0]) for label in module.classes]
    write_reconstructions(scorer, files, path / "reconstructions.npz")
    return scorer


def finish(
    settings: RunSettings,
    path: Path,
    module: EventDataModule,
    scorer: Scorer,
    training_speed: float | None,
) -> Results:
    """Write ledger, metrics, figures and report of a run from its scores.parquet."""
    ledger = module.ledger.to_json()
    count_names = module.reading.count_names
    ledger["streams"] = {
        **{name: count_names(counts) for name, counts in module.counts.items()},
        "test": count_names(scorer.counts),
    }
    ledger["fits"] = fit_notes(scorer.fitted)
    ledger["outside_of_fits"] = scorer.ranges.to_json()
    if processes := mixtures(module):
        ledger["processes"] = processes
    data = describe_data(settings.data, module)
    ledger["event_noun"] = data.event_noun
    write_text(path / "ledger.json", json.dumps(ledger, indent=2) + "\n")
    table = read_scores(path / "scores.parquet")
    scored = scorer.counts.events - scorer.counts.rejected
    results = evaluate(
        table,
        data=data,
        model=describe_model(settings.model, settings.fitted_scores, scorer),
        default_score=scorer.model.default_score,
        speed=EventRates(training_speed, scored / scorer.seconds),
        paper=load_paper(settings.data.paper),
    )
    write_results(path, results)
    write_figures(path)
    write_report(path)
    return results


def _show(path: Path, console: Console) -> None:
    run = RunFiles(path)
    console.print(result_table(run.results, published=run.published))
    milestones = run.config["trainer"]["milestones"] or ()
    for remark in (*run_remarks(run.ledger), *missed_milestones(path, milestones)):
        console.print(remark, markup=False, highlight=False)
    console.print(f"report: {path / 'report.html'}")
