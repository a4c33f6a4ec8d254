"""Write moe_doctor/models/catalogue.json: `python -m tests.models.build_catalogue`.

Facts come out of the parser: from the real configs beside the repository, where they are there,
and from the published keys in tests/models/published.py. Entries whose source is not at hand stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moe_doctor.core.spec import ModelSpec
from moe_doctor.models.catalogue import FILE
from moe_doctor.models.catalogue_format import encode
from moe_doctor.models.parse import parse_model
from tests.models.published import PUBLISHED

CONFIGS = Path(__file__).parents[3] / "shared" / "configs"


def real_configs() -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    """(id, config, hf_quant_config) of every folder of real configs; nothing when absent."""
    for folder in sorted(CONFIGS.iterdir()) if CONFIGS.is_dir() else ():
        if folder.is_dir():
            quant = folder / "hf_quant_config.json"
            yield (
                folder.name.replace("--", "/", 1),
                json.loads((folder / "config.json").read_text(encoding="utf-8")),
                json.loads(quant.read_text(encoding="utf-8")) if quant.exists() else None,
            )


def derived() -> Iterator[ModelSpec]:
    """Every model whose source is at hand, parsed."""
    for name, config in PUBLISHED.items():
        yield parse_model(config, id=name, source="catalogue")
    for name, config, quant in real_configs():
        yield parse_model(config, id=name, source="catalogue", hf_quant_config=quant)


def main() -> None:
    facts: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    facts |= {model.id: encode(model) for model in derived()}
    lines = (
        f"{json.dumps(name)}: {json.dumps(facts[name], separators=(', ', ': '))}"
        for name in sorted(facts, key=str.lower)
    )
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
