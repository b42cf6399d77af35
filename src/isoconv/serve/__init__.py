"""The local page: what the explorer shows, brought to a browser on the same machine."""
