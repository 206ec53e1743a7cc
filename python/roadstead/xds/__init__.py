"""The mesh as Envoy's resources (xDS v3): what the engine decides in this process, for Envoy to decide elsewhere."""
