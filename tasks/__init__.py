"""The stages of the two pipelines, one file each; the listing reads as their order.

    train:  download -> prepare -> fit -> evaluate -> plot -> release
    score:  inbox -> predict (by `cluster` on Dask) -> report

A file here holds thin Prefect tasks: check the inputs, compute, publish, log. What they compute with lives in
`tasks.lib`, plain code that knows nothing of Prefect. `caching` decides whether a step has to run,
`environment` prepares the process. Imports go one way: flows -> tasks -> tasks.lib.
"""
