"""From searches to better models: evaluation, datasets, training, rounds."""
