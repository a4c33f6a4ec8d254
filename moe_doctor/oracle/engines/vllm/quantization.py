"""Whether vLLM takes a checkpoint's experts for quantized at all."""

from __future__ import annotations

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.spec import QuantSpec


def is_quantized(quantization: QuantSpec | None, deployment: Deployment) -> bool:
    """Whether a quantization method is built for experts stored as `quantization`.

    hf_quant_config.json counts only with a producer: config/model.py reads `producer.name` and
    takes the checkpoint for unquantized without it.
    """
    if deployment.quantization is not None:
        return True
    if quantization is None:
        return False
    nameless = "producer" in quantization.details and quantization.details["producer"] is None
    return not (quantization.source == "hf_quant_config.json" and nameless)
