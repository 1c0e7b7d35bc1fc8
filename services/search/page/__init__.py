"""The live page: plain ES modules, served as they are."""
