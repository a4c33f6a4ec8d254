"""Which backend an engine picks: pure functions over tables, every reason kept."""
