"""What the documentation says can be done: links, commands, make targets, keys and defaults."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from anomaly_hep import cli
from anomaly_hep.arguments import literal
from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import alternatives, compose
from anomaly_hep.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\| `([^`]+)` \| (?:`([^`]+)`|see the file) \|", re.MULTILINE)
CONFIGURATION = ROOT / "docs" / "reference" / "configuration.md"
COMMANDS = ROOT / "docs" / "reference" / "commands.md"
# a page may show a part of a command
REQUIRED = {
    "score": ("checkpoint=a.ckpt", "input=b.root", "output=c.parquet"),
    "evaluate": ("run_dir=a",),
    "dashboard": ("run_dir=a", "entity=b"),
    "fetch": ("to=a",),
    "cluster": ("files=a.h5",),
    "curve": ("run_dir=a",),
    "search": ("run=a",),
    "rate": ("run=a", "rate_hz=1", "input_rate_hz=2"),
}


def _shown(text: str) -> Iterator[list[str]]:
    """Yield the words of each shell command that a page shows, wherever it stands."""
    lines = []
    for kind, block in _FENCED.findall(text):
        if kind == "sh":
            lines += block.replace("\\\n", " ").splitlines()
    rest = _FENCED.sub("", text)
    lines += [*_INDENTED.findall(rest), *_INLINE.findall(rest)]
    for line in lines:
        if re.match(r"(\S*/)?python3? |make ", line):
            yield shlex.split(line, comments=True)


def _overrides(words: list[str]) -> tuple[str, list[str]] | None:
    """Return command name and overrides of one of our commands; None for any other."""
    match words:
        case [_, "train.py", *rest]:
            name = "train"
        case [_, "-m", "anomaly_hep", name, *rest] if not name.isupper():
            pass
        case _:
            return None
    # "-m" says that values are swept; "[key=value ...]" stands for any overrides
    return name, [w for w in rest if not w.startswith(("-", "[")) and "..." not in w]


def _check(words: list[str]) -> None:
    found = _overrides(words)
    if found is None:
        return
    name, overrides = found
    assert name in cli.COMMANDS, name
    if name not in cli.PLAIN:
        chosen = [literal(o, several=True) for o in overrides if not _is_new_option(o)]
        for choice in alternatives(name, [*REQUIRED.get(name, ()), *chosen]):
            settings_of(name, compose(name, choice))


def _is_new_option(override: str) -> bool:
    """Return whether this chooses a file still to be written, as model=NAME does.

    Elsewhere words in capitals (DIR, RUN) are values like any other.
    """
    key, _, value = override.partition("=")
    return (ROOT / "conf" / key).is_dir() and value.isupper()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        if not re.match(r"\w+:|#", link):
            assert (page.parent / link.split("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_that_is_shown_composes(page: Path) -> None:
    for words in _shown(page.read_text()):
        _check(words)


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for words in _shown(page.read_text()):
            if words[0] == "make":
                named = {w for w in words[1:] if w.islower() and "=" not in w}
                assert named <= targets, (page, words)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text())}
    assert {page for page in (ROOT / "docs").rglob("*.md") if page != index} <= linked


def test_commands_are_found_wherever_they_stand() -> None:
    text = (
        "Run `make train`, or\n\n    python train.py seed=2\n\n```sh\n# a remark\n"
        ".venv/bin/python -m anomaly_hep simulate \\\n  parts=2  # two\nls\n```\n"
        "```yaml\npython train.py no=sh\n```\n"
    )
    assert list(_shown(text)) == [
        [".venv/bin/python", "-m", "anomaly_hep", "simulate", "parts=2"],
        ["python", "train.py", "seed=2"],
        ["make", "train"],
    ]


@pytest.mark.parametrize(
    "command", ["python train.py -m model.betta=1,2", "python train.py data=x"]
)
def test_a_wrong_command_would_be_noticed(command: str) -> None:
    with pytest.raises(ConfigError):
        _check(shlex.split(command))


def _sections(page: Path, level: str) -> dict[str, dict[str, Any]]:
    """Return {title: {key: default}} of a page's tables; a default 'see the file' is None."""
    parts = re.split(rf"^{level} (.+)$", page.read_text(), flags=re.MULTILINE)
    found = {
        title: {key: yaml.safe_load(value) if value else ... for key, value in _ROW.findall(body)}
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    return {title: rows for title, rows in found.items() if rows}


def _expected(path: Path, prefix: str, documented: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's keys and values, nested ones flat unless documented as a whole."""
    text = path.read_text()
    content = yaml.safe_load(text) or {}
    if text.startswith("# @package _global_"):
        prefix = ""  # such a file sets keys of several folders
    kept = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
    return _flat(kept, prefix, documented)


def _flat(content: Mapping[str, Any], prefix: str, documented: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and name not in documented:
            flat |= _flat(value, f"{name}.", documented)
        else:
            flat[name] = value
    return flat


def _assert_documented(file: str, prefix: str, documented: Mapping[str, Any]) -> None:
    expected = _expected(ROOT / "conf" / file, prefix, documented)
    given = {key: expected.get(key) if v is ... else v for key, v in documented.items()}
    assert given == expected, f"conf/{file} and docs/reference differ"


@pytest.mark.parametrize("file", sorted(_sections(CONFIGURATION, "##")))
def test_documented_keys_and_defaults_are_those_of_the_file(file: str) -> None:
    # conf/model/encoder/deepset.yaml holds what the configuration calls model.encoder.*
    folder = Path(file).parent
    prefix = "" if folder == Path() else ".".join(folder.parts) + "."
    if folder == Path("phase"):
        prefix = "model.phases.NAME."  # each model gives its phases their names
    _assert_documented(file, prefix, _sections(CONFIGURATION, "##")[file])


@pytest.mark.parametrize("command", sorted(_sections(COMMANDS, "##")))
def test_documented_keys_of_commands_are_those_of_the_file(command: str) -> None:
    _assert_documented(f"{command}.yaml", "", _sections(COMMANDS, "##")[command])


def test_every_file_of_the_configuration_is_documented() -> None:
    files = {str(path.relative_to(ROOT / "conf")) for path in (ROOT / "conf").rglob("*.yaml")}
    # simulation/*.yaml explains itself, the others only set keys that are documented elsewhere
    files = {
        f for f in files if Path(f).parts[0] not in ("simulation", "experiment", "fitted_scores")
    }
    documented = {f"{name}.yaml" for name in _sections(COMMANDS, "##")}
    assert files == documented | set(_sections(CONFIGURATION, "##"))


def test_every_command_is_documented() -> None:
    titles = set(re.findall(r"^## (\S+)$", COMMANDS.read_text(), re.MULTILINE))
    assert titles == {*cli.COMMANDS, "make"}
