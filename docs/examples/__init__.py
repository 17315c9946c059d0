"""Every public name of `mlpatterns` and of `mlpatterns.testing`, by what it is for.

The examples await outside of a function, as `python -m asyncio` lets you; in a program they stand in an `async def`,
inside of which `asyncio.run` begins. They run in a folder where `mlpatterns train iris_sklearn_svc` and
`mlpatterns train digits_fast` have made two models, and the example of [export](#export) the file `iris.onnx`. Where
the model does not matter, it is a [CountingModel](#countingmodel), which answers with the sum of each row.

An argument without a default must be given; what stands after a `*` is given by name.
"""
