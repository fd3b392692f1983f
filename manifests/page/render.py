"""Pages from templates that extend `base.html`: escaped, and nothing undefined passes."""

from __future__ import annotations

from pathlib import Path

import jinja2

from manifests.numbers import number, signed_ms


def page(folder: Path, template: str, **values: object) -> str:
    """`template` in `folder`, rendered. Raises jinja2.UndefinedError for what is not given."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"number": number, "signed_ms": signed_ms}
    return environment.get_template(template).render(**values)
