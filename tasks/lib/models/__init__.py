"""Model bundles, and which of them is in use."""
