"""What a network computes: nodes, their gradients and how they are grouped, without hardware."""
