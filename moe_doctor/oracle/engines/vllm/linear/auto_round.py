"""AutoRound: which entry of `extra_config` a linear layer follows.

Sources: INCConfig.get_layer_config (quantization/inc.py), from 0.24.0 on INCConfigParser
(quantization/inc/config_parser.py), 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.spec import QuantSpec
from moe_doctor.models.listed_entries import is_expression
from moe_doctor.models.patterns import Matcher, compile_regex
from moe_doctor.oracle.engines.vllm.linear.layer import Linear
from moe_doctor.oracle.engines.vllm.linear.stored import Place, Spellings, Stored
from moe_doctor.oracle.engines.vllm.methods.auto_round import goes_to_humming
from moe_doctor.oracle.engines.vllm.methods.integer_formats import GROUPS, marlin_capable
from moe_doctor.oracle.engines.vllm.methods.outcome import by_linear, refused_by_method
from moe_doctor.oracle.engines.vllm.methods.question import Question

_Settings = tuple[Any, Any, Any]
_EXPLICIT = (0, 24, 0)
_ENDINGS = (0, 27, 0)


class AutoRoundLinears:
    """One declaration, asked for many layers."""

    def __init__(self, question: Question, spec: QuantSpec) -> None:
        raw = spec.details
        entries = raw.get("extra_config")
        self._entries: Mapping[str, Any] = entries if isinstance(entries, Mapping) else {}
        self._matchers = [
            (key, matcher)
            for key in self._entries
            if is_expression(key) and (matcher := compile_regex(f".*?{key}", [])) is not None
        ]
        self._whole: _Settings = raw.get("bits"), raw.get("group_size"), raw.get("sym", True)
        blocks = raw.get("block_name_to_quantize") or raw.get("to_quant_block_names")
        listed = blocks.split(",") if isinstance(blocks, str) else blocks
        self._blocks = (
            tuple(str(one) for one in listed) if isinstance(listed, (list, tuple)) else ()
        )
        packing = str(raw.get("packing_format", "auto_round:auto_gptq"))
        backend = str(raw.get("backend", raw.get("vllm_backend", "auto")))
        self._by_gptq = "gptq" in packing or "gptq" in backend
        self._marlin = backend == "auto" or "marlin" in backend
        self._integers = raw.get("data_type", "int") == "int"
        self._question = question

    def read(self, linear: Linear, place: Place) -> Stored | None:
        """How the layer is stored; raises MethodRefused where its parts differ."""
        bits, group, symmetric = self._resolve(linear, place)
        if not isinstance(bits, int) or bits >= 16 or not self._integers:
            return None if isinstance(bits, int) and bits >= 16 else Stored("")
        if not isinstance(group, int):
            return Stored("")
        zeros = not symmetric
        typed = bits in (4, 8) and not zeros if self._by_gptq else bits == 4 and zeros
        marlin = self._marlin and typed and marlin_capable(self._question) and group in GROUPS
        kind = "gptq" if self._by_gptq else "awq"
        if goes_to_humming(self._question, bits):
            return Stored("narrow", bits, group)
        return Stored(kind, bits, group, zeros=zeros, fallback=not marlin)

    def _resolve(self, linear: Linear, place: Place) -> _Settings:
        own, release = place(linear.path), self._question.release
        exact = next((name for name in own if name in self._entries), None)
        if exact is None and release >= _ENDINGS:
            endings = (key for key in self._entries for name in own if name.endswith(f".{key}"))
            exact = next(endings, None)
        if exact is not None:
            return self._merge(self._entries[exact], quantized=True)
        quantized = not self._blocks or any(name.startswith(self._blocks) for name in own)
        if self._entries and linear.is_fused:
            found = [self._find(place(shard)) for shard in linear.shards]
            if release < _EXPLICIT or any(one is not None for one in found):
                merged = [self._merge(one, quantized=quantized) for one in found]
                if any(one != merged[0] for one in merged):
                    raise by_linear(
                        refused_by_method(
                            "ValueError",
                            "Fused module '",
                            f"{own[0]}: vLLM makes one layer of its parts, and extra_config "
                            "stores them in different ways",
                        )
                    )
                return merged[0]
        return self._merge(self._find(own), quantized=quantized)

    def _find(self, names: Spellings) -> Any:
        """The entry that names a module, else the first expression that finds it, or None."""
        exact = next((name for name in names if name in self._entries), None)
        if exact is not None:
            return self._entries[exact]
        return next(
            (self._entries[key] for key, rule in self._matchers if _hits(rule, names)), None
        )

    def _merge(self, entry: object, *, quantized: bool) -> _Settings:
        bits, group, symmetric = self._whole if quantized else (16, -1, True)
        if not isinstance(entry, Mapping):
            return bits, group, symmetric
        return entry.get("bits", bits), entry.get("group_size", group), entry.get("sym", symmetric)


def _hits(rule: Matcher, names: Spellings) -> bool:
    return any(rule.pattern.search(name) for name in names)
