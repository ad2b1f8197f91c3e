from .onnx_export import export_onnx as export_onnx
