"""The recurrent network: built, trained, measured, and its forward pass in NumPy."""
