"""The catalog of models, how they are fetched and converted, and the store that keeps them."""
