"""An image classifier on CIFAR-10: a pipeline of steps that each can be run alone, resumed, and found again.

`pipeline` puts the steps together: `prepared`, `fit`, `build`, `measure`. Torch is imported when one needs it.
"""
