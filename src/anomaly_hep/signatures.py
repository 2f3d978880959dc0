"""Check the plain values of a configuration against the signatures that take them.

Unknown keys are refused, and values of another type or outside the bounds of an annotation such as
`Annotated[int, Ge(1)]`. Pydantic checks as strictly as for JSON: 1 is a float, but "1", 1.0 and
true are not integers.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from anomaly_hep.errors import ConfigError

T = TypeVar("T")
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_JSON_WORDS = {"an object": "a mapping", "a valid array": "a list", "a valid string": "a text",
               "Tuple should": "List should", "List should have": "a list that has"}  # fmt: skip


def built(
    target: Callable[..., T],
    values: Mapping[str, Any],
    section: str,
    *,
    without: Iterable[str] = (),
) -> T:
    """Call `target` with the checked values; `section` is their dotted key."""
    return target(**checked([target], values, section, without=without))


def checked(
    targets: Iterable[Callable[..., Any]],
    values: Mapping[str, Any],
    section: str,
    *,
    without: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the values, converted to the types annotated by `targets`; raises ConfigError.

    If several targets share a key, the first one's annotation counts. `without` are keys that the
    program sets itself.
    """
    fields: dict[str, tuple[str, Any, Any]] = {}
    open_ended = False
    for target in targets:
        hints = _hints(target)
        for name, parameter in inspect.signature(target).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                open_ended |= name not in without
            elif name not in (*fields, *without):
                required = parameter.default is parameter.empty
                # the default's value does not matter: only given values are checked
                field: Any = dataclasses.field() if required else dataclasses.field(default=None)
                fields[name] = (name, hints.get(name, Any), field)
    config = ConfigDict(
        extra="allow" if open_ended else "forbid",
        strict=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
    )
    shape = dataclasses.make_dataclass(
        "Values", fields.values(), kw_only=True, namespace={"__pydantic_config__": config}
    )
    try:
        validated: Any = TypeAdapter(shape).validate_json(json.dumps(values))
    except ValidationError as error:
        raise ConfigError(_explain(error, values, section, fields)) from None
    accepted = {name: getattr(validated, name, value) for name, value in values.items()}
    _check_finite(accepted, section)
    return accepted


def _check_finite(value: Any, key: str) -> None:
    """Raise ConfigError for a number that is not finite, where no type says that it is one."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}={value}. Cure: it should be a finite number")
    inner = value.items() if isinstance(value, Mapping) else ()
    for name, one in enumerate(value) if isinstance(value, list | tuple) else inner:
        _check_finite(one, f"{key}.{name}" if key else str(name))


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of the parameters of a function, a class or a dataclass."""
    # a dataclass may inherit fields from another module, where their annotations resolve
    is_plain = inspect.isclass(target) and not dataclasses.is_dataclass(target)
    return get_type_hints(target.__init__ if is_plain else target, include_extras=True)


def _explain(
    error: ValidationError,
    values: Mapping[str, Any],
    section: str,
    fields: Mapping[str, tuple[str, Any, Any]],
) -> str:
    """Return the message on the first key that is wrong."""
    errors = error.errors(include_url=False)
    # what is missing may stand there under another name
    first = next((e for e in errors if e["type"] in _UNKNOWN), errors[0])
    path, node, parent = _follow(first["loc"], values)
    key = ".".join(filter(None, (section, *path)))
    if first["type"] == "missing":
        key = ".".join(filter(None, (section, *map(str, first["loc"]))))
        return f"{key} is missing. Cure: {key}=VALUE"
    if first["type"] in _UNKNOWN:
        known = set(fields)
        if len(path) > 1:
            known = _keys(fields[path[0]][1], path[1:-1]) or set(parent) - {path[-1]}
        return unknown(key, ".".join(filter(None, (section, *path[:-1]))), known)
    # each alternative of a union says what it accepts, except those that JSON cannot express
    here = [e for e in errors if _follow(e["loc"], values)[0] == path]
    expected = [e["msg"] for e in here if e["type"] != "needs_python_object"]
    for prefix in ("Input should be ", "Value error, "):
        expected = [message.removeprefix(prefix) for message in expected]
    words = " or ".join(sorted(set(expected)))
    for word, ours in _JSON_WORDS.items():
        words = words.replace(word, ours)
    is_plain = isinstance(node, str) or (isinstance(node, float) and not math.isfinite(node))
    value = str(node) if is_plain else json.dumps(node)
    return f"{key}={value}. Cure: it should be {words}"


def _follow(location: tuple[int | str, ...], values: Any) -> tuple[list[str], Any, Any]:
    """Return the leading keys of an error's location, the value there, and its parent."""
    path: list[str] = []
    node, parent = values, values
    for part in location:
        inside = dict(enumerate(node)) if isinstance(node, list) else node
        here = {str(k): v for k, v in inside.items()} if isinstance(inside, Mapping) else {}
        if str(part) not in here:
            break
        node, parent = here[str(part)], here
        path.append(str(part))
    return path, node, parent


def _keys(annotation: Any, path: list[str]) -> set[str]:
    """Return the keys of the dataclass at a path below an annotation."""
    inner, origin = get_args(annotation), get_origin(annotation)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        hints = _hints(annotation)
        return _keys(hints.get(path[0]), path[1:]) if path else set(hints)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _keys(inner[-1], path[1:]) if path else set()
    return set().union(*(_keys(one, path) for one in inner))


def unknown(key: str, section: str, keys: Iterable[str]) -> str:
    """Return the message on a key that does not exist: the closest one, and all that do."""
    known = sorted(keys)
    close = difflib.get_close_matches(key.rsplit(".", 1)[-1], known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{key} does not exist.{hint} Keys of {section or 'this command'}: {', '.join(known)}"
