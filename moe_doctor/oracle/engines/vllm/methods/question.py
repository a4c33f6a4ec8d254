"""Everything that decides about a quantization method, in one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import MoEQuery, QuantQuery
from moe_doctor.core.release import Release
from moe_doctor.core.spec import MoESpec, QuantSpec
from moe_doctor.oracle.engines.vllm.interned import one_quant, one_query
from moe_doctor.oracle.engines.vllm.methods.outcome import Afterwards, OracleCall
from moe_doctor.oracle.engines.vllm.setting import Setting


class Question(NamedTuple):
    """One layer of one checkpoint in one deployment, before any method is built."""

    quantization: QuantSpec | None
    """The checkpoint's declaration; None where it has none or leaves the experts out."""
    deployment: Deployment
    """Parallel sizes, `--quantization`, `--moe-backend`."""
    release: Release
    """vLLM."""
    setting: Setting
    """The machine, and whether adapters may be applied."""
    spec: MoESpec
    """Geometry before parallelism."""
    query: MoEQuery
    """The question as it stands without quantization."""
    model_type: str
    """The model's outermost type."""
    architecture: str
    """The model's class."""

    @property
    def platform(self) -> str:
        """`cuda`, `rocm`, `xpu`, `cpu`; where a comparison will do, `is_on`."""
        return self.setting.platform

    def is_on(self, *platforms: str) -> bool:
        """Whether the platform is one of these."""
        return self.setting.is_on(*platforms)

    @property
    def capability(self) -> tuple[int, int] | None:
        """CUDA compute capability; where a comparison will do, `setting` has it."""
        return self.setting.capability

    @property
    def environment(self) -> Mapping[str, str]:
        """What the engine's process would see."""
        return self.setting.environment

    @property
    def details(self) -> Mapping[str, Any]:
        """The declaration as found; empty without one."""
        return {} if self.quantization is None else self.quantization.details

    @property
    def rules(self) -> tuple[str, ...]:
        """Keys of the declaration that speak of these experts in particular."""
        return () if self.quantization is None else self.quantization.rules

    def rule(self, key: str) -> Mapping[str, Any]:
        """The entry under `key` that these experts follow; empty where they follow none."""
        entries = self.details.get(key)
        if not self.rules or not isinstance(entries, Mapping):
            return {}
        found = entries.get(self.rules[0])
        return found if isinstance(found, Mapping) else {}

    @property
    def batch_invariant(self) -> bool:
        """Whether VLLM_BATCH_INVARIANT is on."""
        return self.setting.batch_invariant

    def ask(
        self,
        oracle: str,
        method: str,
        weight_key: str | None = None,
        activation_key: str | None = None,
        *,
        allow_vllm_cutlass: bool = False,
        query: MoEQuery | None = None,
        afterwards: tuple[Afterwards, ...] = (),
    ) -> OracleCall:
        """The call of a method that passes these keys."""
        quant = one_quant(weight_key, activation_key, allow_vllm_cutlass, self.model_type or None)
        return self.ask_with(oracle, method, quant, query=query, afterwards=afterwards)

    def ask_with(
        self,
        oracle: str,
        method: str,
        quant: QuantQuery,
        *,
        query: MoEQuery | None = None,
        afterwards: tuple[Afterwards, ...] = (),
    ) -> OracleCall:
        """The call with a QuantQuery made elsewhere."""
        asked = one_query((query or self.query).with_quant(quant))
        return OracleCall(oracle, quant, asked, method, afterwards)

    def ask_for_mxfp8(self, method: str, *, afterwards: tuple[Afterwards, ...] = ()) -> OracleCall:
        """The MXFP8 oracle's call, whose formats are fixed."""
        keys = ("kMxfp8Static", "kMxfp8Dynamic")
        return self.ask("mxfp8", method, *keys, afterwards=afterwards)

    def unquantized(self) -> OracleCall:
        """The layer stays as it is."""
        return OracleCall("unquantized", None, self.query, "UnquantizedFusedMoEMethod")
