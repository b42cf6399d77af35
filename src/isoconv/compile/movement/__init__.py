"""Values under another shape, in parts, beside one another or among zeros."""
