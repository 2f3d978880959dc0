"""Modules of an experiment's own package, announced by entry points."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from anomaly_hep import plugins
from anomaly_hep.errors import ConfigError


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with one model, a folder of configuration and a name that is taken."""
    package = tmp_path / "private_package"
    (package / "conf" / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "mine.py").write_text("ANSWER = 42\n")
    metadata = tmp_path / "private_package-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: private-package\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[anomaly_hep.models]\nmine = private_package.mine\nbase = private_package.mine\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "private_package", raising=False)
    return package


def test_a_private_module_is_found_beside_ours(private: Path) -> None:
    assert plugins.load("models", "mine").ANSWER == 42
    assert plugins.is_ours("private_package.mine", "models")
    assert not plugins.is_ours("private_package.mine", "formats")
    assert plugins.configuration_directories() == [private / "conf"]


def test_a_private_module_replaces_none_of_ours(private: Path) -> None:
    assert plugins.modules("models")["base"] == "anomaly_hep.models.base"


def test_every_module_of_a_room_is_there_without_a_list() -> None:
    assert {"setvae", "codae"} <= set(plugins.modules("models"))
    assert plugins.configuration_directories() == []


def test_a_name_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no module 'nothing' among the models\. Cure: .*setvae"):
        plugins.load("models", "nothing")


def test_a_text_becomes_code_in_one_place_alone() -> None:
    makes_code = r"import_module|__import__|[^.`]\b(eval|exec)\(|import pickle"
    package = Path(plugins.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(makes_code, path.read_text())
    }
    # the command line imports the commands that it lists itself
    assert users == {"plugins.py", "cli.py"}


@pytest.mark.parametrize("module", ["os", "subprocess", "anomaly_hep.commands.train"])
def test_nothing_else_is_ours(module: str) -> None:
    assert not plugins.is_ours(module, "models")
