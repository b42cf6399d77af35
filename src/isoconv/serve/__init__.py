"""What is served over HTTP: the explorer on the same machine, and predictions to programs."""
