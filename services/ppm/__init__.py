"""PPM service: a process preference model scores partial solutions."""
