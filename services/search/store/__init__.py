"""What of a search is kept in Redis."""
