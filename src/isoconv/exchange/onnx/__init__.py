"""ONNX files read: a graph of operators becomes a network of layers."""
