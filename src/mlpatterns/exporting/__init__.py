"""Exports a fitted model to an ONNX file and proves that it gives the same answers. This package imports quickly."""

from mlpatterns.exporting.exporter import Exported, export

__all__ = ["Exported", "export"]
