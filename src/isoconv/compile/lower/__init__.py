"""From groups of nodes to kernel calls and the plan of their memory."""
