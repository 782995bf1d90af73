"""The stages of a scoring run."""
