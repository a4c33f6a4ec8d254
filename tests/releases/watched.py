"""The other places that decide: oracles, quantization methods, layers, LoRA, availability."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.releases.change import Change, compare_definitions, diff_texts
from tests.releases.closure import closure
from tests.releases.tree import Definition, Function, Tree

_FUSED = r"model_executor/layers/fused_moe/"
_ANY = r".*"

# Section -> files (regular expression under vllm/) and the names in them that count.
WATCHED: tuple[tuple[str, str, str], ...] = (
    ("oracle", _FUSED + r"oracle/.*", _ANY),
    ("quantization", r"model_executor/layers/quantization/.*", _ANY),
    (
        "layer",
        _FUSED + r"(layer|config|all2all_utils|activation|utils|unquantized_fused_moe_method"
        r"|fused_moe_method_base|fused_moe_modular_method|modular_kernel|routed_experts"
        r"|expert_substitution|runner/.*factory.*|flashinfer_moe_ep|rocm_aiter\w*)\.py",
        _ANY,
    ),
    (
        "layer",
        _FUSED + r"router/.*",
        r".*(routing_method|create_fused_moe_router|Router\.__init__|supports_|capture).*",
    ),
    ("layer", r"model_executor/layers/batch_invariant\.py", r".*(enabled|is_|invariant).*"),
    ("lora", r"lora/layers/(fused_moe.*|utils\.py|base\.py)|config/lora\.py", _ANY),
    ("lora", r"lora/(utils|model_manager|worker_manager)\.py", r".*(moe|expert|supported).*"),
    ("option", r"config/(kernel|parallel|speculative)\.py", _ANY),
    ("option", r"transformers_utils/configs/eagle\.py", _ANY),
    (
        "option",
        r"config/(model|vllm|quantization|model_arch)\.py|engine/arg_utils\.py"
        r"|transformers_utils/model_arch_config_convertor\.py|config/quantization.*",
        r"(?i).*(lora|moe|expert|quant|dtype|all2all|eplb|invariant|parallel|supported|draft).*",
    ),
    (
        "availability",
        r"utils/(flashinfer|deep_gemm|import_utils|b12x\w*)\.py",
        r"_?(has|is|should)_.*",
    ),
    ("availability", r"_aiter_ops\.py|_custom_ops\.py", r"(.*\.)?(has|is|supports?|cpu_has)_\w*"),
    (
        "availability",
        r"platforms/\w+\.py",
        r".*(fp8|deep_gemm|capability|supported_quant|on_gfx|mxfp|nvfp4).*",
    ),
)


def watched_definitions(tree: Tree, section: str, other: Tree) -> Iterator[Definition]:
    """The definitions of a section that count, of the files that `other` has not got alike."""
    for name, files, names in WATCHED:
        if name != section:
            continue
        for path in tree.matching(files):
            if tree.shares(other, path):
                continue
            for held in tree.module(path).definitions.values():
                if re.fullmatch(names, held.name) and not _is_said_elsewhere(held):
                    yield held


def _is_said_elsewhere(held: Definition) -> bool:
    """A field or an enum's member (part of its class), a Literal (an option), the logger."""
    value = getattr(held.node, "value", None)
    is_literal = isinstance(value, ast.Subscript) and ast.unparse(value.value) == "Literal"
    is_field = "." in held.name and not isinstance(held.node, (*Function, ast.ClassDef))
    return is_literal or is_field or held.name in ("logger", "__all__")


def compare_watched(old: Tree, new: Tree) -> Iterator[Change]:
    """Changes of every section of `WATCHED`, and of select functions that live elsewhere."""
    for section in dict.fromkeys(name for name, _, _ in WATCHED):
        before = list(watched_definitions(old, section, new))
        after = list(watched_definitions(new, section, old))
        yield from compare_definitions(section, before, after)
    yield from _compare_oracle_modules(old, new)
    yield from _compare_reach(old, new)


def oracle_modules(tree: Tree) -> dict[str, str]:
    """Name of an oracle's module -> path."""
    paths = tree.matching(_FUSED + r"oracle/\w+\.py")
    return {path.rpartition("/")[2][:-3]: path for path in paths if not path.endswith("__.py")}


def select_functions(tree: Tree) -> dict[str, Definition]:
    """Functions `select_*` that choose a backend or a class, wherever they are."""
    found = {}
    for path in tree.matching(r"model_executor/layers/(fused_moe|quantization)/.*"):
        for name, held in tree.module(path).definitions.items():
            last = name.rpartition(".")[2]
            if re.match(r"_?select_\w*(moe|expert|backend)", last) and isinstance(
                held.node, Function
            ):
                found[name] = held
    return found


def _compare_oracle_modules(old: Tree, new: Tree) -> Iterator[Change]:
    before, after = oracle_modules(old), oracle_modules(new)
    for name in sorted(before.keys() - after.keys()):
        yield Change("oracle", "vanished", f"oracle {name}", before[name])
    for name in sorted(after.keys() - before.keys()):
        yield Change("oracle", "appeared", f"oracle {name}", after[name])


def _compare_reach(old: Tree, new: Tree) -> Iterator[Change]:
    """Select functions whose own text stayed while something that they call changed."""
    before, after = select_functions(old), select_functions(new)
    for name in sorted(before.keys() & after.keys()):
        sides = [
            {key: text for key, text in closure(tree, held).items() if key != name}
            for tree, held in ((old, before[name]), (new, after[name]))
        ]
        details, diffs = [], []
        for key in sorted(sides[0].keys() | sides[1].keys()):
            texts = sides[0].get(key, ""), sides[1].get(key, "")
            if texts[0] != texts[1]:
                verb = "changed" if all(texts) else "reached now" if texts[1] else "not reached now"
                details.append(f"through {key}: {verb}")
                diffs += [f"{key}\n{diff_texts(*texts)}"] if all(texts) else []
        if details:
            path = after[name].path
            yield Change("oracle", "changed", name, path, tuple(details), "\n".join(diffs))


def model_classes(tree: Tree, other: Tree) -> dict[tuple[str, str], tuple[str, str]]:
    """(file, class) of a model -> how it builds its experts, and what it refuses before that.

    Files that `other` has alike are left out.
    """
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for path in tree.matching(r"(model_executor/models|models)/.*"):
        text = tree.sources.read(path)
        if "MoE" not in text or "layers/" in path or tree.shares(other, path):
            continue
        for name, held in tree.module(path).definitions.items():
            if "." in name or not isinstance(held.node, ast.ClassDef):
                continue
            calls = sorted(_expert_calls(held.node))
            if calls:
                found[path, name] = "\n".join(calls), _bounds(held.node)
    return found


_SILENT = frozenset(
    [
        "prefix",
        "quant_config",
        "params_dtype",
        "reduce_results",
        "shared_experts",
        "gate",
        "expert_mapping",
    ]
)


def _expert_calls(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if not isinstance(one, ast.Call):
            continue
        called = one.func
        last = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        arguments = [each for each in one.keywords if each.arg and each.arg not in _SILENT]
        names = {each.arg for each in arguments}
        if "FusedMoE" in last or {"top_k", "num_experts"} <= names:
            given = sorted(f"{each.arg}={ast.unparse(each.value)}" for each in arguments)
            if given:
                yield f"{last}(\n    " + "\n    ".join(given) + "\n)"


def _bounds(node: ast.AST) -> str:
    return "\n".join(
        f"if {ast.unparse(one.test)}: raise"
        for one in ast.walk(node)
        if isinstance(one, ast.If) and any(isinstance(each, ast.Raise) for each in one.body)
    )


def compare_models(old: Tree, new: Tree) -> Iterator[Change]:
    """Model classes whose way to build experts changed."""
    before, after = model_classes(old, new), model_classes(new, old)
    for key in sorted(before.keys() | after.keys()):
        path, name = key
        if key not in before or key not in after:
            kind = "vanished" if key not in after else "appeared"
            text = "\n".join(before.get(key) or after[key])
            diff = diff_texts("", text) if kind == "appeared" else ""
            yield Change("model", kind, name, path, ("builds experts",), diff)
        elif before[key] != after[key]:
            diff = diff_texts("\n".join(before[key]), "\n".join(after[key]))
            yield Change("model", "changed", name, path, ("how it builds experts",), diff)
