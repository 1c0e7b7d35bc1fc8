"""Harvest: problems to searches to parquet, by any number of workers, each item exactly once."""
