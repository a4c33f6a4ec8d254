"""The Triton kernels behind `moe_doctor.kernels.fused_moe`, one stage per file."""
