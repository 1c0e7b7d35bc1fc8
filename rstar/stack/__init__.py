"""The whole stack on one machine: Redis and the services as supervised child processes."""
