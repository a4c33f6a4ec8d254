"""Facts to findings: one module per family of codes, one function per code, no input or output."""
