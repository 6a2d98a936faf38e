"""Networks from outside as layer tables: PyTorch modules, ONNX files."""
