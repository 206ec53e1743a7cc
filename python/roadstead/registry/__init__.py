"""The registry: resources in, one engine for each node out."""
