"""Models in the forms of other libraries: ONNX, Keras, PyTorch."""
