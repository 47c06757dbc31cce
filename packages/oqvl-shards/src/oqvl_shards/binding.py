"""Bind an object that a configuration names by a dotted path: import its factory, call it, check the result.

This is the seam between packages that never import each other: a recipe names `oqvl_model.trainee:PackedTrainee`, the
trainer states the protocol that it needs, and `bind` joins the two. User plug-ins are bound in the same way.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import traceback
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar

from oqvl_shards.errors import ConfigError, OqvlError

T = TypeVar("T")


def bind(
    path: str,
    protocol: type[T],
    *arguments: Any,
    key: str,
    options: Mapping[str, Any] | None = None,
    options_key: str = "",
) -> T:
    """Import the factory at `path`, call it as `factory(*arguments, **options)`, and return the result.

    Args:
        path: `package.module:factory`, of a module that is installed or on PYTHONPATH. The factory is a class or any
            other callable; `module:Class.method` works too.
        protocol: What the result must offer: every public method and attribute that this class declares.
        *arguments: Positional arguments that the caller gives to every factory.
        key: Where the configuration holds `path`, for messages, e.g. `scorer.factory`.
        options: Keyword arguments from the configuration.
        options_key: Where the configuration holds them; `{key}_options` by default.

    Raises:
        ConfigError: If `path` is malformed or cannot be imported, the factory is not callable, does not take the
            options or raises an exception of its own, or if the result lacks a part of `protocol`.
        OqvlError: If the factory raises one. It is passed on unchanged.
    """
    options, options_key = options or {}, options_key or f"{key}_options"
    factory = _import_factory(path, key)
    _check_signature(factory, path, key, arguments, options, options_key)
    try:
        made = factory(*arguments, **options)
    except OqvlError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{key}={path!r}: the factory raised {_described(error)}",
            hint=f"fix the factory, or the values in {options_key}",
        ) from error
    _check_protocol(made, protocol, path, key)
    return made


def _import_factory(path: str, key: str) -> Callable[..., Any]:
    """Import the factory that `path` names.

    Raises:
        ConfigError: If the path is malformed, leads nowhere, or names something that cannot be called.
        OqvlError: If importing it raises one. It is passed on unchanged.
    """
    module_name, separator, attributes = path.partition(":")
    if not (separator and module_name and attributes) or module_name.startswith("."):
        raise ConfigError(
            f"{key}={path!r} is not a dotted path", hint="write package.module:factory, e.g. my_package.my_module:make"
        )
    factory: Any = _import_module(module_name, path, key)
    for name in attributes.split("."):
        try:
            factory = getattr(factory, name)
        except AttributeError as error:
            raise ConfigError(
                f"{key}={path!r}: {module_name} has no attribute {attributes!r}",
                hint=_suggest(name, factory),
            ) from error
        except OqvlError:
            raise
        except Exception as error:  # a package that loads its names at first use imports a module here
            raise ConfigError(
                f"{key}={path!r}: reading {name} raised {_described(error)}",
                hint="fix that module, or install what it needs",
            ) from error
    if not callable(factory):
        raise ConfigError(
            f"{key}={path!r} is of type {type(factory).__name__}, expected a class or a function that makes the object",
            hint="name the factory, not an object that it has made",
        )
    return factory


def _import_module(module_name: str, path: str, key: str) -> ModuleType:
    """Import a module.

    Raises:
        ConfigError: If there is no such module, or importing it raises an exception.
        OqvlError: If importing it raises one. It is passed on unchanged.
    """
    try:
        return importlib.import_module(module_name)
    except OqvlError:
        raise
    except Exception as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        # If the module exists but imports a missing one, the module itself has failed.
        if absent and f"{module_name}.".startswith(f"{absent}."):
            raise ConfigError(
                f"{key}={path!r}: there is no module {absent}",
                hint="install the package that offers it, or put its folder on PYTHONPATH",
            ) from error
        raise ConfigError(
            f"{key}={path!r}: importing {module_name} raised {_described(error)}",
            hint="fix that module, or install what it needs",
        ) from error


def _check_signature(
    factory: Callable[..., Any],
    path: str,
    key: str,
    arguments: tuple[Any, ...],
    options: Mapping[str, Any],
    options_key: str,
) -> None:
    """Raise unless the factory takes the arguments. A factory without a readable signature passes."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        refused = f"does not take the options {sorted(options)}" if options else "cannot be called without options"
        raise ConfigError(
            f"{key}={path!r} {refused}: {error}",
            hint=f"its signature is {signature}; each option is given as {options_key}.NAME=VALUE",
        ) from error


def _check_protocol(made: Any, protocol: type, path: str, key: str) -> None:
    """Raise unless `made` offers every member of `protocol`."""
    missing = [name for name in protocol_members(protocol) if not _offers(made, protocol, name)]
    if missing:
        raise ConfigError(
            f"{key}={path!r} makes a {type(made).__name__} without {', '.join(missing)}",
            hint=f"it must offer what {protocol.__module__}.{protocol.__qualname__} declares",
        )


def protocol_members(protocol: type) -> list[str]:
    """Return the public methods and attributes that a protocol class declares, sorted by name."""
    members: set[str] = set()
    for ancestor in protocol.__mro__:
        if ancestor.__module__ != "typing" and ancestor is not object:
            members |= {*vars(ancestor), *inspect.get_annotations(ancestor)}
    return sorted(name for name in members if not name.startswith("_"))


def _offers(made: Any, protocol: type, name: str) -> bool:
    """Return whether `made` has a member `name`, as a method if the protocol declares one."""
    # Look it up without running properties: one of them may load a model.
    try:
        member = inspect.getattr_static(made, name)
    except AttributeError:
        return hasattr(made, name)  # `__getattr__` may make it
    is_method = callable(inspect.getattr_static(protocol, name, None))
    # The result of a descriptor is not known before it runs, so it counts as right.
    return not is_method or callable(member) or hasattr(type(member), "__get__")


def _described(error: Exception) -> str:
    """Return type, message and place of an exception: the innermost frame that has source code."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.line]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _suggest(name: str, namespace: Any) -> str:
    """Return a hint with the public callables of a module or class that `name` may have meant, most similar first.

    Names that a module merely imports are left out unless they are similar.
    """
    members = getattr(namespace, "__dict__", {})
    names = sorted(member for member in members if not member.startswith("_") and callable(getattr(namespace, member)))
    if similar := difflib.get_close_matches(name, names):
        return f"did you mean {' or '.join(similar)}?"
    if isinstance(namespace, ModuleType):
        names = [member for member in names if getattr(members[member], "__module__", "") == namespace.__name__]
    return f"it has {', '.join(names[:10])}" if names else "check the spelling"
