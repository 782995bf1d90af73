"""The stages of a training, and what carries their results from one to the next."""
