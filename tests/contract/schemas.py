"""Schemas of `diff`, `matrix` and `explain`: `python -m tests.contract.schemas` writes them again.

What they share with the report (models, machines, selections, findings) is copied from its schema,
so that each file stands alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2] / "moe_doctor"
TEXT = {"type": "string"}
MAYBE = {"type": ["string", "null"]}
INDEX = {"type": "integer", "minimum": 0}
CHANGE_KINDS = (
    "outcome",
    "oracle",
    "backend",
    "backend_option",
    "kernel",
    "activation_format",
    "error",
    "crash",
    "hazard",
    "note",
    "candidate",
    "order",
    "classes",
    "verdict",
    "reason",
    "moe_backend",
    "all2all_backend",
    "variable",
    "package",
)


def generate() -> dict[str, str]:
    """File name to content."""
    shared = json.loads((PACKAGE / "report.schema.json").read_text(encoding="utf-8"))["$defs"]
    return {
        f"{name}.schema.json": json.dumps(schema(name, shared, *parts), indent=2) + "\n"
        for name, parts in {"diff": diff(), "matrix": matrix(), "explain": explain()}.items()
    }


def schema(
    name: str,
    shared: dict[str, Any],
    title: str,
    properties: dict[str, Any],
    own: dict[str, Any],
) -> dict[str, Any]:
    """A whole schema, with the shared definitions that it needs and no other."""
    head = {"schema": {"const": f"moe-doctor.{name}/1"}, "moe_doctor": TEXT}
    needed = references({**properties, **own}, shared)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:moe-doctor:{name}:1",
        "title": f"moe-doctor {name}",
        "description": f"{title} Within schema 1 keys are only ever added.",
        **object_of({**head, **properties}),
        "$defs": {**own, **{key: shared[key] for key in shared if key in needed}},
    }


def references(value: Any, shared: dict[str, Any]) -> set[str]:
    """Names of the shared definitions that a schema leads to."""
    found: set[str] = set()
    todo = [value]
    while todo:
        match todo.pop():
            case {"$ref": str() as path}:
                name = path.rpartition("/")[2]
                if name in shared and name not in found:
                    found.add(name)
                    todo.append(shared[name])
            case dict() as inner:
                todo.extend(inner.values())
            case list() as inner:
                todo.extend(inner)
    return found


def object_of(properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has every one of some properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def ref(name: str) -> dict[str, Any]:
    """A definition."""
    return {"$ref": f"#/$defs/{name}"}


def list_of(items: dict[str, Any]) -> dict[str, Any]:
    """An array."""
    return {"type": "array", "items": items}


def or_null(value: dict[str, Any]) -> dict[str, Any]:
    """A value that may be absent."""
    return {"anyOf": [value, {"type": "null"}]}


def diff() -> tuple[str, dict[str, Any], dict[str, Any]]:
    """`moe-doctor diff --format json`."""
    properties = {
        "command": {"const": "diff"},
        "model": ref("model"),
        "machine": ref("machine"),
        "before": ref("engine"),
        "after": ref("engine"),
        "deployment": ref("deployment"),
        "changes_answers": {"type": "boolean"},
        "answers": list_of(ref("answer")),
        "surroundings": list_of(ref("change")),
        "findings": list_of(ref("finding")),
        "verdict": {"enum": ["pass", "warn", "fail"]},
        "exit_code": {"enum": [0, 1]},
    }
    change = {"kind": {"enum": list(CHANGE_KINDS)}, "name": TEXT, "before": MAYBE, "after": MAYBE}
    answer = {
        "moe_layers": INDEX,
        "lora": {"type": "boolean"},
        "before": ref("selection"),
        "after": ref("selection"),
        "changes": list_of(ref("change")),
    }
    own = {"change": object_of(change), "answer": object_of(answer)}
    return "What changes for a model between two releases.", properties, own


def matrix() -> tuple[str, dict[str, Any], dict[str, Any]]:
    """`moe-doctor matrix --format json`."""
    properties = {
        "command": {"const": "matrix"},
        "models": list_of(or_null(ref("model"))),
        "gpus": list_of(TEXT),
        "engine": TEXT,
        "releases": list_of(TEXT),
        "deployment": ref("deployment"),
        "cells": list_of(ref("cell")),
    }
    cell = {
        "model": INDEX,
        "gpu": INDEX,
        "lora": {"type": "boolean"},
        "releases": {**list_of(TEXT), "minItems": 1},
        "answers": list_of(ref("cell_answer")),
    }
    answer = {
        "moe_layers": INDEX,
        "outcome": {"enum": ["selected", "error", "not_applicable"]},
        "oracle": MAYBE,
        "backend": MAYBE,
        "kernel": MAYBE,
        "trouble": MAYBE,
    }
    own = {"cell": object_of(cell), "cell_answer": object_of(answer)}
    return "What every release runs on every GPU, with and without LoRA.", properties, own


def explain() -> tuple[str, dict[str, Any], dict[str, Any]]:
    """`moe-doctor explain --format json`."""
    properties = {
        "command": {"const": "explain"},
        "rules": list_of(ref("rule")),
        "backends": list_of(ref("backend")),
        "names": list_of(TEXT),
    }
    rule = {
        "code": TEXT,
        "name": TEXT,
        "severity": {"enum": ["error", "warning", "info"]},
        "summary": TEXT,
        "why": TEXT,
        "remediation": TEXT,
        "since": TEXT,
        "status": {"enum": ["stable", "preview"]},
        "links": list_of(TEXT),
    }
    backend = {
        "name": TEXT,
        "accepted": or_null(object_of({"since": TEXT, "until": TEXT})),
        "asked_by": list_of(ref("asked_by")),
        "kernels": list_of(ref("kernel")),
    }
    asked_by = {
        "oracle": TEXT,
        "backend": TEXT,
        "option": MAYBE,
        "kernels": list_of(TEXT),
        "since": TEXT,
        "until": TEXT,
    }
    kernel = {
        "name": TEXT,
        "source": TEXT,
        "topics": list_of(ref("topic")),
    }
    topic = {"topic": TEXT, "ranges": list_of(ref("range"))}
    held = {"since": TEXT, "until": TEXT, "conditions": list_of(ref("condition"))}
    condition = {"text": TEXT, "items": list_of(TEXT)}
    own = {
        "rule": object_of(rule),
        "backend": object_of(backend),
        "asked_by": object_of(asked_by),
        "kernel": object_of(kernel),
        "topic": object_of(topic),
        "range": object_of(held),
        "condition": object_of(condition),
    }
    return "Rules of the catalogue and pages of backends.", properties, own


if __name__ == "__main__":
    for name, text in generate().items():
        (PACKAGE / name).write_text(text, encoding="utf-8", newline="\n")
