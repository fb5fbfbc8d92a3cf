"""Networks: parameters, prediction, training, the flow of their gradients, and what computes them."""
