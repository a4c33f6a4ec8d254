"""4-bit integer weights with 8-bit inputs: FP8 on GPUs, integers on CPUs."""
