"""The catalogue of finding codes: what each means and what to do about it. Append-only."""
