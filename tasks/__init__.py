"""The stages of the two pipelines, one file each, and what surrounds a run.

    training/  download -> prepare -> fit -> evaluate -> plot -> publish
    scoring/   find -> batches -> predict (by `cluster` on Dask) -> export -> report
    running/   environment, command line, locks, progress, events

A stage holds thin Prefect tasks: check the inputs, compute, publish, log. What they compute with lives in `lib/`,
plain code that knows nothing of Prefect. Imports go one way: flows -> tasks -> tasks.lib.
"""
