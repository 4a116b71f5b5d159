"""Names of a package whose modules are loaded when they are asked for."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def lazily(
    package: str, **modules: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """What a package needs so that importing it loads none of its modules.

    The package imports the same names ``if TYPE_CHECKING`` too, and lists them in ``__all__``: from
    there, type checkers and the API reference know them.

    Args:
        package: Its ``__name__``.
        modules: For each of its modules, the names that the package offers from there.

    Returns:
        Its ``__getattr__`` and its ``__dir__``.
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def getattribute(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)  # found without asking from now on
        return value

    return getattribute, lambda: sorted({*vars(sys.modules[package]), *module_of})
