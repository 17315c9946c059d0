"""An image classifier on CIFAR-10: a pipeline whose steps can each be run alone and resumed, and whose outputs are
cached.

`pipeline` combines the steps: `prepared`, `fit`, `build`, `measure`. Torch is imported only when a step needs it.
"""
