"""The emitters' language, and the way from a specification to machine code that threads run."""
