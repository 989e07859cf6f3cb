"""Packages that can be called: `dclm.curate` is both the package of that name and the function of the Python API."""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any


def make_callable(package: str, module: str, name: str) -> None:
    """Make calls of the loaded `package` run `module.name`, which is imported at the first call."""

    class CallablePackage(ModuleType):
        def __call__(self, *arguments: Any, **named: Any) -> Any:
            return self.__wrapped__(*arguments, **named)

        @property
        def __wrapped__(self) -> Any:
            """The function: `inspect` and Jupyter's `?` show its signature."""
            return getattr(importlib.import_module(module), name)

        @property
        def __signature__(self) -> inspect.Signature:
            return inspect.signature(self.__wrapped__)

    sys.modules[package].__class__ = CallablePackage
