"""Explanations: any number taken apart into its terms, as text, as pictures, as a page."""
