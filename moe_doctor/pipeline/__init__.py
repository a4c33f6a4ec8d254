"""The five steps, each a function from what the step before it found; `doctor` runs them."""
