"""Let mkdocstrings render the sections of the docstrings as what they are.

Griffe knows an "Examples:" section, whose prompts it renders as code, but takes "Example:" for an
admonition, whose prompts Markdown would render as quotations.
"""

import re

import griffe


class ExampleSections(griffe.Extension):
    """Read `Example:` as `Examples:`."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Rewrite the heading in the docstring of every collected object."""
        del kwargs
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
