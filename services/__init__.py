"""The platform's services, one process each; they meet only in the contracts under proto/."""
