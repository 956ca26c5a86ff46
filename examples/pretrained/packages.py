"""Where the files of an installed package lie, without importing it."""

import importlib.util
from pathlib import Path


def package_folder(name: str, install: str = '"jaxplain[examples]"') -> Path:
    """Return the folder of the installed package `name`.

    The package is never imported, so none of its code runs and none of its dependencies are needed.

    Args:
        name: The name the package is imported by.
        install: What to hand to `pip install` when it is missing.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The package {name} is not installed. Type: pip install {install}", name=name
        )
    return Path(spec.submodule_search_locations[0])
