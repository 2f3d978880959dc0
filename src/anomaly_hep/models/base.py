"""The base class of all models: named loss terms and named scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics import MeanMetric

from anomaly_hep.data.batch import JaggedBatch, ParticleBatch
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.optimization import check_steps, configured
from anomaly_hep.models.outputs import EventOutputs, Reconstruction, ScoreDescription
from anomaly_hep.models.phase import Phase, phases_of
from anomaly_hep.models.stepping import SteppedModule

# an odd multiplier that keeps the seeds of the phases of a training apart: 2^64 / golden ratio
_BETWEEN_PHASES = 0x9E3779B97F4A7C15


class AnomalyModel(SteppedModule):
    """A network that learns the background and scores how badly each event fits it.

    A subclass defines `loss` and `outputs`; training, validation and the non-finite guard are here.
    phases: {name: keys of `Phase`}, in the order of training. Hyper-parameters are plain numbers,
    strings, lists and dicts, so that checkpoints load with `weights_only=True`.
    """

    title: ClassVar[str]  # the model's name as its paper writes it
    accepts: ClassVar[type[JaggedBatch]] = ParticleBatch
    default_score: str
    score_names: tuple[str, ...]
    event_columns: tuple[str, ...] = ()  # columns of `outputs` besides the scores
    embedding_names: ClassVar[tuple[str, ...]] = ()  # vectors for fitted scores
    reconstructed_events: ClassVar[int] = 2  # of each class, that a run keeps for figures
    waits_for_host: bool = False  # whether `outputs` computes on the host, and cannot be compiled
    # particles per event at which the paper counts FLOPs; None for images, which have a fixed size
    reference_multiplicity: ClassVar[float | None] = None
    features: tuple[str, ...] | None = None  # of the particles that it takes, where it says so
    needs_types: bool = False  # whether it needs particle types
    # why the encoder cannot become firmware; None if it can, see fpga/source.py
    firmware_refusal: ClassVar[str | None] = "no integer form of its encoder is known"

    def __init__(self, phases: Mapping[str, Mapping[str, Any]], seed: int) -> None:
        super().__init__()
        self.phases, self.seed = phases_of(phases), seed
        self.phase = self.phases[0]
        self.validation_means: dict[str, MeanMetric] = {}
        self._frozen: list[torch.nn.Parameter] = []  # frozen by the phase, not by the model itself

    @classmethod
    def sections(cls, arguments: Mapping[str, Any]) -> Mapping[str, Callable[..., Any]]:
        """Return what takes the keys of those `arguments` that are sections, by their names."""
        del arguments  # most models have none
        return {}

    def take_features(self, given: Sequence[str], taken: Sequence[str], cure: str) -> None:
        """Note the features of the particles; raises ConfigError unless they are those `taken`."""
        if tuple(given) != tuple(taken):
            raise ConfigError(
                f"data.features are {', '.join(given)}, but the {self.title} takes "
                f"{', '.join(taken)}. Cure: {cure}"
            )
        self.features = tuple(given)

    @property
    def supervised(self) -> bool:
        """Whether the training uses signal labels."""
        return any(self.labels_seen.values())

    @property
    def labels_seen(self) -> dict[str, tuple[str, ...]]:
        """The classes whose labels each phase sees."""
        return {phase.name: phase.labels for phase in self.phases}

    def begin(self, phase: Phase) -> None:
        """Enter a phase: what it trains is in training mode, the rest is frozen in eval mode."""
        self.phase, self.validation_means = phase, {}  # phases may have other terms
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = [
            p for n, p in self.named_parameters() if p.requires_grad and not phase.learns(n)
        ]
        for parameter in self._frozen:
            parameter.requires_grad_(False)
        self.train()
        for name, module in self.named_modules():
            if not phase.is_active(name):
                module.eval()

    def fit_inputs(self, batches: Iterable[Any]) -> None:
        """Fit what scales the inputs on the training events, before the first step.

        `batches` are those of the first phase, each event once.
        """
        del batches  # most models leave the scales to the data

    def embeds(self, phase: Phase) -> bool:
        """Whether a phase trains nothing but what follows `embed`, so that it computes it once."""
        del phase
        return False

    def embed(self, batch: Any) -> Float[Tensor, "event component"]:
        """Return the vector of each event that the phases of `embeds` take, as a VectorBatch."""
        # not abstract, for only a model whose `embeds` is ever true is asked: others have no vector
        raise NotImplementedError(f"{type(self).__name__} embeds no events")

    @classmethod
    @abstractmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return the title and unit of every score, in the order of tables."""

    @abstractmethod
    def loss(self, batch: Any, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the loss of a training phase as 'loss', and its terms by name.

        All are weighted means over the batch.
        """

    @abstractmethod
    def outputs(self, batch: Any) -> EventOutputs:
        """Return the scores, columns and embeddings of each event, from one pass."""

    def scores(self, batch: Any) -> Mapping[str, Float[Tensor, " event"]]:
        """Return all anomaly scores."""
        return self.outputs(batch).scores

    def reconstruction(self, batch: Any) -> Reconstruction | None:
        """Return the events and their reconstructions; None for a model without any."""
        del batch
        return None

    @abstractmethod
    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return the operations of 'encoder' and 'total' for `multiplicity` particles.

        Networks of images need the same number for every event.
        """

    @property
    def objective_is_final(self) -> bool:
        """Whether the objective has its final form; before, losses of steps are not comparable."""
        return True

    def parameter_counts(self) -> dict[str, int]:
        """Return the number of trainable parameters: 'total', and 'encoder' for it alone."""
        return {
            "total": sum(p.numel() for p in self.parameters() if p.requires_grad),
            "encoder": sum(
                p.numel() for n, p in self.named_parameters() if n.startswith("encoder.")
            ),
        }

    def rng(self) -> torch.Generator:
        """Return the random number generator of this step of this phase.

        A resumed run thus draws the same numbers as an uninterrupted one.
        """
        number = [phase.name for phase in self.phases].index(self.phase.name)
        # odd multipliers keep the seeds of neighbouring steps and ranks apart
        seed = (self.seed * 1_000_003 + self.global_step) * 1_000_033 + self.global_rank
        return torch.Generator().manual_seed((seed + number * _BETWEEN_PHASES) % 2**64)

    def training_step(self, batch: Any, batch_index: int) -> dict[str, Any]:
        """Return the loss of one batch, and its terms; a NaN or an infinity stops the run."""
        self._seed()
        terms = self.terms(batch, self.phase.name)
        self._watch(terms, "training", batch_index)
        return {"loss": terms["loss"], "terms": {n: v.detach() for n, v in terms.items()}}

    def _seed(self) -> None:
        """Seed torch's global generators, for dropout and others: reproducible after a resume."""
        seed = self.rng().initial_seed()
        # torch.manual_seed formats a stack for each kind of device that is not used: a third of
        # the time of a small network's step
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Add one batch to the validation means."""
        terms = self.loss(batch, self.phase.name)
        self._watch(terms, "validation", batch_index)
        for name, value in terms.items():
            if name not in self.validation_means:
                self.validation_means[name] = MeanMetric().to(self.device)
            self.validation_means[name].update(value, weight=batch.weight.sum())

    def on_validation_epoch_end(self) -> None:
        """Log the means over all events of all ranks."""
        self.guard.look()
        for name, mean in self.validation_means.items():
            self.log(f"val/{name}", mean.compute(), prog_bar=name == "loss", logger=False)
            mean.reset()

    def _watch(self, terms: Mapping[str, Tensor], stage: str, batch_index: int) -> None:
        self.guard.watch(
            terms,
            f"{stage} {{}} is not finite at step {self.global_step}, epoch {self.current_epoch}, "
            f"batch {batch_index}. Cure: a lower model.phases.{self.phase.name}.optimizer.lr, a "
            "smaller trainer.gradient_clip_val, or trainer.precision=32-true",
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the class, so that scoring needs only the checkpoint, and the phase.

        Weights after a step that was not finite are not saved.
        """
        self.guard.look()
        cls = type(self)
        name = f"{cls.__module__}.{cls.__qualname__}"
        checkpoint["anomaly_hep"] = {"model": name, "phase": self.phase.name}

    def check_phases(self) -> None:
        """Raise ConfigError for a phase whose optimiser or schedule cannot be created."""
        for phase in self.phases:
            check_steps(configured(phase, self, steps=1000 * phase.epochs), phase)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and the schedule of the phase."""
        return configured(self.phase, self, int(self.trainer.estimated_stepping_batches))

    def clip(
        self, optimizer: torch.optim.Optimizer, value: float | None, algorithm: str | None
    ) -> None:
        """Clip the gradients by the norm of each tensor, by their total norm, or by value.

        The phase's `clip_each_tensor` (Keras' clipnorm) has precedence over `value`, which is
        trainer.gradient_clip_val.
        """
        bound = self.phase.clip_each_tensor
        if bound is None and value:
            # Lightning's own clipping refuses the fused optimisers in bf16-mixed
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            clip = nn.utils.clip_grad_value_ if algorithm == "value" else nn.utils.clip_grad_norm_
            clip(parameters, value)
        if bound is None:
            return
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norms = torch._foreach_norm(gradients)
        factors = (bound / torch.stack(norms).clamp(min=bound)).unbind()
        torch._foreach_mul_(gradients, factors)
