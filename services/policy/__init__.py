"""Policy service: a language model proposes the next reasoning steps."""
