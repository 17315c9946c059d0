"""From a fitted model of yours to an ONNX file that is proven to answer as it does. Light to import."""

from mlpatterns.exporting.exporter import Exported, export

__all__ = ["Exported", "export"]
