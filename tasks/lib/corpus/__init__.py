"""The labelled reviews: fetched, checked, written as shards, read as batches."""
