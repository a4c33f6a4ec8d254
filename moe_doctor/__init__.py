"""Which MoE kernel will an LLM engine run, why, and does it work here.

Importing this package imports neither torch nor triton nor any engine.
"""

from __future__ import annotations

__version__ = "0.1.0"
