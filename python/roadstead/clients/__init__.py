"""Ways to send real requests through a registry: one library a file, each an extra."""
