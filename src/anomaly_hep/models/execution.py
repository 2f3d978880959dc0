"""How networks are executed: the device, the layout of batches, compiled or not."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from anomaly_hep.data.feed import Feed
from anomaly_hep.errors import ConfigError

# yaml reads on and off as true and false
_COMPILE = {"on": True, True: True, "off": False, False: False, "auto": None}


@dataclass(frozen=True)
class Execution:
    """A device, and whether functions are compiled for it; None compiles those that can be.

    Accelerators and compiled functions need slotted batches, for their constant shapes.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    compiled: bool | None = False

    @staticmethod
    def of(accelerator: str, compiled: str | bool = "auto", number: int = 0) -> Execution:
        """Return the execution for the settings `accelerator` and `compile`, on GPU `number`.

        `auto` compiles only on CUDA, where a replayed graph saves a thousand launches per step.
        Raises ConfigError if there is no such device.
        """
        device, setting = _device(accelerator, number), _COMPILE[compiled]
        return Execution(device, False if setting is None and device.type != "cuda" else setting)

    @property
    def place(self) -> str:
        """'cpu', or 'accelerator' for every other device."""
        return "cpu" if self.device.type == "cpu" else "accelerator"

    @property
    def name(self) -> str | None:
        """The GPU's name; None for a CPU."""
        return None if self.place == "cpu" else torch.cuda.get_device_name(self.device)

    @property
    def slotted(self) -> bool:
        """Whether batches are slotted."""
        return self.device.type != "cpu" or self.compiled is not False

    def feed(self, events: int | None = None) -> Feed:
        """Return the Feed that brings batches of at most `events` events to the device."""
        return Feed(self.device, self.slotted, events)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which networks compute in a precision, as in trainer.precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")


def _device(accelerator: str, number: int) -> torch.device:
    """Return the device of an accelerator: auto, cpu, gpu or cuda; raises ConfigError."""
    wanted = {"auto": ("cuda", "cpu"), "gpu": ("cuda",)}.get(accelerator, (accelerator,))
    if "cuda" in wanted and torch.cuda.device_count() > number:
        return torch.device("cuda", number)
    if "cpu" in wanted:
        return torch.device("cpu")
    raise ConfigError(
        f"torch {torch.__version__} finds no accelerator '{accelerator}' on this machine"
        f"{f', or not as many as {number + 1}' if number else ''}. Cure: accelerator=auto takes an "
        "NVIDIA GPU where there is one, cpu always works"
    )
