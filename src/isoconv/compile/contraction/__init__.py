"""Convolution, its gradients and linear layers: chains of fused multiply-adds over tiles."""
