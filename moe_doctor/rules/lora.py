"""5xx LoRA."""

from __future__ import annotations

from moe_doctor.core.findings import Severity
from moe_doctor.core.release import span
from moe_doctor.rules.rule import Rule

CRASH = Rule(
    "MOE501",
    "lora-crash",
    Severity.ERROR,
    "The server dies while it wraps the MoE layers for LoRA.",
    "vLLM chooses the kernel first and applies LoRA to the built layer later. Where the wrapper "
    "does "
    "not accept what was built, the start ends with an AssertionError.",
    "Change what the exception names.",
    links=(
        "https://github.com/vllm-project/vllm/pull/40273",
        "https://github.com/vllm-project/vllm/pull/32878",
    ),
)
WRONG_NUMBERS = Rule(
    "MOE502",
    "lora-on-converted-weights",
    Severity.ERROR,
    "LoRA runs on weights that were laid out for another kernel.",
    "Until 0.19.1 the wrapper builds TritonExperts by itself. When the oracle chose AITER or "
    "FlashInfer, the weights are already shuffled or swapped for that one, and the sums come out "
    "wrong without an error.",
    "Let the oracle choose TRITON: unset the variables that ask for another backend.",
    links=("https://github.com/vllm-project/vllm/pull/32878",),
)
BATCHED_DISPATCH = Rule(
    "MOE503",
    "lora-behind-batched-dispatch",
    Severity.ERROR,
    "With LoRA the release picks TritonExperts although the dispatch hands over batched "
    "activations.",
    "The early return for LoRA does not look at the all2all backend. deepep_low_latency and "
    "nixl_ep "
    "hand over one block per expert; TritonExperts takes one list of tokens and its constructor "
    "refuses the batched arguments. This is a defect of vLLM, in every release since 0.20.0.",
    "Use --all2all-backend allgather_reducescatter with LoRA.",
)
MODEL_LACKS_LORA = Rule(
    "MOE504",
    "model-lacks-lora",
    Severity.ERROR,
    "The release's model class does not support LoRA.",
    "vLLM refuses --enable-lora for a model class without supports_lora.",
    "Use a release whose class supports it, or merge the adapter into the weights.",
)
WRONG_DEVICE = Rule(
    "MOE505",
    "lora-kernel-on-wrong-device",
    Severity.WARNING,
    "With LoRA the release picks TRITON on a platform where that kernel does not run.",
    "The early return for LoRA does not look at the platform.",
    "Serve adapters on a GPU, or merge the adapter into the weights.",
)
STALE_ADAPTERS = Rule(
    "MOE506",
    "lora-on-base-requests",
    Severity.WARNING,
    "A small batch of requests without an adapter may run with one.",
    "For a few tokens vLLM's MoE LoRA reads each token's adapter from a buffer instead of sorting "
    "the tokens. A batch in which no request has an adapter leaves that buffer as the batch before "
    "left it, so base requests come out wrong without an error. vLLM 0.24.0 looks first whether "
    "any request has an adapter.",
    "Use vLLM 0.24.0 or newer, or serve the base model from a server without adapters.",
    links=(
        "https://github.com/vllm-project/vllm/issues/42008",
        "https://github.com/vllm-project/vllm/pull/42120",
    ),
    # lora/layers/fused_moe.py until 0.19.1 (0.16.0 hands its flag to another parameter, and always
    # sorts), then lora/punica_wrapper/punica_gpu.py, add_lora_w13.
    vllm=span("0.17.0", "0.23.0"),
)
SCALED_INPUTS = Rule(
    "MOE507",
    "lora-on-quantized-inputs",
    Severity.WARNING,
    "Adapters on the experts read hidden states that are already quantized.",
    "Where a checkpoint quantizes the experts' inputs (FP8), TritonExperts gets them "
    "quantized and passes them on to the adapter's kernels, which know no scale. What the adapter "
    "adds to gate and up then lacks that scale, without an error. Adapters on attention alone are "
    "not touched. vLLM 0.24.0 keeps the inputs from before their quantization.",
    "Use vLLM 0.24.0 or newer, or merge the adapter into the weights.",
    links=(
        "https://github.com/vllm-project/vllm/issues/42007",
        "https://github.com/vllm-project/vllm/pull/42120",
    ),
    # TritonExperts.apply; until 0.19.1 the wrapper kept the states from before the quantization.
    vllm=span("0.20.0", "0.21.0"),
)
REFUSED_INPUTS = Rule(
    "MOE508",
    "lora-refuses-quantized-inputs",
    Severity.ERROR,
    "The adapters' kernel does not compile for hidden states that are already quantized.",
    "Where a checkpoint quantizes the experts' inputs (FP8), TritonExperts passes them on to "
    "the adapter's kernel as they are. From 0.22.0 on that kernel multiplies them with the "
    "adapter's 16-bit weights, which Triton refuses: the first forward pass, before the server is "
    "ready, ends with an AssertionError. vLLM 0.24.0 keeps the inputs from before their "
    "quantization.",
    "Use vLLM 0.24.0 or newer, or merge the adapter into the weights.",
    links=(
        "https://github.com/vllm-project/vllm/issues/45101",
        "https://github.com/vllm-project/vllm/pull/42120",
    ),
    # lora/ops/triton_ops/fused_moe_lora_op.py, _fused_moe_lora_one_shot_kernel.
    vllm=span("0.22.0", "0.23.0"),
)
MIXED_BATCHES = Rule(
    "MOE509",
    "lora-beside-base-requests",
    Severity.WARNING,
    "A batch of base requests and all adapters leaves an adapter out, or kills the server.",
    "The kernel that sorts tokens for MoE LoRA makes room for max_loras kinds of tokens, and those "
    "without an adapter count as one. With as many adapters in a batch as --max-loras allows (one, "
    "by default), and base requests beside them, the last adapter's part stays unwritten: it is "
    "left out, or what was in memory sends the next kernel to an illegal address. vLLM 0.22.0 "
    "makes room for one more.",
    "Use vLLM 0.22.0 or newer, or set --max-loras one higher than the adapters in use.",
    links=(
        "https://github.com/vllm-project/vllm/pull/40131",
        "https://github.com/vllm-project/vllm/issues/40038",
    ),
    # csrc/moe/moe_align_sum_kernels.cu, moe_lora_align_block_size. The repaired kernel has one
    # parameter more; of the releases' compiled modules 0.22.0 is the first that has it.
    vllm=span(until="0.21.0"),
)

LARGE_RANKS = Rule(
    "MOE510",
    "lora-rank-above-128",
    Severity.ERROR,
    "The adapters' kernel takes no --max-lora-rank above 128.",
    "Buffers have the rank that --max-lora-rank allows, whatever the adapter has. From 0.22.0 on "
    "MoE layers have one kernel for both products of an adapter, which asserts that this rank is "
    "at most 128: the warm-up, before the server is ready, ends with an AssertionError. vLLM "
    "0.32.0 goes back to two kernels above 128; --fully-sharded-loras always does.",
    "Use vLLM 0.32.0 or newer, --max-lora-rank 128 where adapters are no larger, or "
    "--fully-sharded-loras.",
    links=(
        "https://github.com/vllm-project/vllm/issues/55158",
        "https://github.com/vllm-project/vllm/pull/55161",
    ),
    # lora/ops/triton_ops/fused_moe_lora_op.py, _run_fused_moe_lora_one_shot.
    vllm=span("0.22.0", "0.31.0"),
)

RULES = (
    CRASH,
    WRONG_NUMBERS,
    BATCHED_DISPATCH,
    MODEL_LACKS_LORA,
    WRONG_DEVICE,
    STALE_ADAPTERS,
    SCALED_INPUTS,
    REFUSED_INPUTS,
    MIXED_BATCHES,
    LARGE_RANKS,
)
